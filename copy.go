package boule

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/target"
)

// ErrCopyRefused reports that the target of a copy has a replica that the copy would set back, or that belongs to
// somebody else.
var ErrCopyRefused = errors.New("boule: the target's replica is kept")

// inlineChunks is how many fingerprints the manifest of a copy has at most by itself, as those of small databases do.
const inlineChunks = 1024

// CopyOptions configure [Copy]. Nil is the same as the zero value.
type CopyOptions struct {
	// Force replaces whatever replica the target has. In the layout log that is a takeover, and its history stays.
	Force bool
	// History copies all recovery points, object by object, from log to log. What was copied so before is continued, any other log that
	// the target has is kept, whatever Force says.
	History bool
	// Jobs is how many requests are under way at a time; 0 means 16.
	Jobs int
	// Progress is called as bytes are read from the source and written to the target, which makes two times the
	// size of the database.
	Progress func(done, total int64)
}

// A CopyReport says what [Copy] did.
type CopyReport struct {
	Manifest  string `json:"manifest"` // name of the replica
	From      string `json:"from"`
	To        string `json:"to"`
	Size      int64  `json:"size"`              // of the database
	Entry     uint64 `json:"entry,omitempty"`   // of the target's log
	Entries   int    `json:"entries,omitempty"` // recovery points that were copied, with CopyOptions.History
	Unchanged bool   `json:"unchanged"`         // the target had the state already
}

// Copy writes the newest state of the replica that ref, a boule:// reference, leads to from one target to another one,
// each in its layout. First all of it is read into a temporary file and verified. With CopyOptions.History all recovery points are
// copied instead, each object verified on the way; after an error the target has older ones, which are whole, or none. It fails
// with [ErrCopyRefused] if the target has a newer state, or a log that somebody else
// appends to. Of cfg only the host name counts; a nil cfg stands for what [ConfigFromEnv] gives.
func Copy(ctx context.Context, ref string, from, to target.Target, cfg *Config, opts *CopyOptions) (*CopyReport, error) {
	cfg, err := effective(cfg)
	if err != nil {
		return nil, err
	}
	name, _, err := namedReplica(ref, &Config{Hostname: cfg.Hostname, Targets: []target.Target{from}})
	if err != nil {
		return nil, fmt.Errorf("boule: copy: %w", err)
	}
	c := &copying{name: name, from: from, to: to}
	if opts != nil {
		c.opts = *opts
	}
	report, err := c.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("boule: copy %s: %w", name, err)
	}
	return report, nil
}

type copying struct {
	name     string
	from, to target.Target
	opts     CopyOptions

	file *os.File
	m    *manifest.Manifest // of what is in the file

	mu   sync.Mutex // guards done, and is held while reporting
	done int64
}

// history copies a log as it is.
func (c *copying) history(ctx context.Context) (*CopyReport, error) {
	if c.from.LayoutOrDefault() != target.LayoutLog || c.to.LayoutOrDefault() != target.LayoutLog {
		return nil, errors.New("only logs have a history: both targets must have the layout log")
	}
	var logs [2]logwriter.Stores
	for i, t := range []target.Target{c.from, c.to} {
		stores, err := target.Open(ctx, t, &target.OpenOptions{Limiter: budgets.reads, ReadOnly: i == 0})
		if err != nil {
			return nil, err
		}
		logs[i] = logwriter.Stores{Packs: stores.Chunks, Entries: stores.Manifests}
	}
	res, err := logwriter.Copy(ctx, logs[0], logs[1], c.name, logwriter.CopyOptions{Jobs: c.opts.Jobs, Progress: c.opts.Progress})
	switch {
	case errors.Is(err, logwriter.ErrNotContinued):
		return nil, fmt.Errorf("%w: %w", ErrCopyRefused, err)
	case errors.Is(err, logrep.ErrNotFound):
		return nil, fmt.Errorf("%w: no log in %s", ErrNoReplica, c.from)
	case err != nil:
		return nil, err
	}
	return &CopyReport{
		Manifest: c.name, From: c.from.String(), To: c.to.String(), Size: res.Head.Entry.Size,
		Entry: res.Head.Entry.Number, Entries: res.Points, Unchanged: res.Entries == 0,
	}, nil
}

func (c *copying) run(ctx context.Context) (report *CopyReport, err error) {
	if c.opts.History {
		return c.history(ctx)
	}
	remote, err := newest(ctx, []target.Target{c.from}, c.name, nil, "")
	if err != nil {
		return nil, err
	}
	c.file, err = os.CreateTemp("", "boule-copy-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.file.Close(), os.Remove(c.file.Name())) }()
	restore := RestoreOptions{Jobs: c.opts.Jobs, Progress: func(done, total int64) { c.progress(done, 2*total) }}
	if err := remote.RestoreTo(ctx, io.NewOffsetWriter(c.file, 0), &restore); err != nil {
		return nil, err
	}
	if err := c.describe(remote.Manifest); err != nil {
		return nil, err
	}
	stores, err := target.Open(ctx, c.to, &target.OpenOptions{Limiter: budgets.reads})
	if err != nil {
		return nil, err
	}
	report = &CopyReport{Manifest: c.name, From: c.from.String(), To: c.to.String(), Size: c.m.Size}
	if stores.Layout == target.LayoutLog {
		return report, c.append(ctx, stores, remote, report)
	}
	return report, c.put(ctx, stores, report)
}

func (c *copying) progress(done, total int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = max(c.done, done)
	if c.opts.Progress != nil {
		c.opts.Progress(c.done, total)
	}
}

// wrote counts bytes for the callback.
func (c *copying) wrote(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = min(c.done+int64(n), 2*c.m.Size)
	if c.opts.Progress != nil {
		c.opts.Progress(c.done, 2*c.m.Size)
	}
}

// describe makes a manifest of what is in the file, with what the source says about it.
func (c *copying) describe(of *manifest.Manifest) error {
	m := *of
	m.Blocks, m.Chunks, m.First = []manifest.Block{}, nil, nil
	var list []manifest.Fingerprint
	for i := range manifest.Count(m.Size) {
		data, err := c.chunk(m.Size, i)
		if err != nil {
			return err
		}
		if i == 0 {
			m.First = data
		}
		list = append(list, manifest.Sum(data))
	}
	if len(list) <= inlineChunks {
		m.Blocks = append(m.Blocks, manifest.InlineBlocks(list)...)
	} else {
		for b := range manifest.BlockCount(len(list)) {
			sum := manifest.Sum(blockOf(list, b))
			m.Blocks = append(m.Blocks, manifest.Block{Stored: sum, Digest: sum})
		}
	}
	m.Chunks = list
	if m.Contents() != of.Contents() {
		return fmt.Errorf("%w: what was read is not what the source describes", manifest.ErrCorrupt)
	}
	c.m = &m
	return m.Validate()
}

// blockOf returns an index block.
func blockOf(list []manifest.Fingerprint, b int) []byte {
	return manifest.AppendList(nil, list[b*manifest.BlockChunks:][:manifest.BlockLen(len(list), b)])
}

func (c *copying) chunk(size int64, i int) ([]byte, error) {
	data := make([]byte, manifest.ChunkLen(size, i))
	_, err := c.file.ReadAt(data, int64(i)*manifest.ChunkSize)
	return data, err
}

// append appends the state to the log of the target. The owner is that of the source's log, so that who appended there can go on.
func (c *copying) append(ctx context.Context, stores *target.Stores, remote *Remote, report *CopyReport) error {
	owner := remotelog.Owner{Spool: copyOwner(c.name)}
	if remote.logged != nil {
		owner = remote.logged.head.Entry.Owner
	}
	w := logwriter.New(stores.Chunks, stores.Manifests, c.name, logwriter.Options{Owner: owner, Adopt: -1, Jobs: c.opts.Jobs})
	src := &copySource{c: c, at: make(map[manifest.Fingerprint]int, len(c.m.Chunks))}
	for i, f := range c.m.Chunks {
		src.at[f] = i
	}
	write := w.Append
	if c.opts.Force {
		there, err := logrep.New(stores.Chunks, stores.Manifests, c.name).Head(ctx, nil)
		if err != nil && !store.IsNotExist(err) {
			return err
		}
		if err == nil && (there.Entry.Sequence != c.m.Sequence || there.Entry.Contents() != c.m.Contents() || !there.Entry.Owner.Same(owner)) {
			write = w.Takeover
		}
	}
	res, err := write(ctx, c.m, src)
	switch {
	case errors.Is(err, logwriter.ErrSuperseded):
		return fmt.Errorf("%w: it is newer: %w", ErrCopyRefused, err)
	case errors.Is(err, logwriter.ErrFenced):
		return fmt.Errorf("%w: %w", ErrCopyRefused, err)
	case err != nil:
		return err
	}
	report.Entry, report.Unchanged = res.Entry, res.Unchanged
	return w.RefreshLatest(ctx)
}

// copyOwner is the owner of what is copied from a replica that has none.
func copyOwner(name string) [16]byte {
	sum := sha256.Sum256([]byte("boule copy\x00" + name))
	return [16]byte(sum[:16])
}

// A copySource reads what a log lacks from the file.
type copySource struct {
	c  *copying
	at map[manifest.Fingerprint]int
}

// Block implements [logwriter.Source].
func (s *copySource) Block(_ context.Context, f manifest.Fingerprint) ([]byte, error) {
	for b := range s.c.m.Blocks {
		if s.c.m.Blocks[b].Stored == f {
			return blockOf(s.c.m.Chunks, b), nil
		}
	}
	return nil, os.ErrNotExist
}

// Chunk implements [logwriter.Source].
func (s *copySource) Chunk(_ context.Context, f manifest.Fingerprint) ([]byte, error) {
	i, ok := s.at[f]
	if !ok {
		return nil, os.ErrNotExist
	}
	data, err := s.c.chunk(s.c.m.Size, i)
	s.c.wrote(len(data))
	return data, err
}

// put puts the chunks that the target lacks, then the index blocks, then the manifest.
func (c *copying) put(ctx context.Context, stores *target.Stores, report *CopyReport) error {
	body, info, err := store.ReadAll(ctx, stores.Manifests, c.name, manifest.MaxManifest)
	cond := store.Condition{IfAbsent: true}
	switch {
	case store.IsNotExist(err):
	case err != nil:
		return err
	default:
		cond = store.Condition{IfMatch: info.ETag}
		there, _, err := replica.Parse(body)
		switch {
		case err != nil && !c.opts.Force:
			return fmt.Errorf("%w: %w", ErrCopyRefused, err)
		case err == nil && there.Sequence > c.m.Sequence && !c.opts.Force:
			return fmt.Errorf("%w: it is newer: it has the sequence %d, the source %d", ErrCopyRefused, there.Sequence, c.m.Sequence)
		case err == nil && there.Sequence == c.m.Sequence && there.Contents() == c.m.Contents():
			report.Unchanged = true // and chunks that are missing are put
		}
	}
	if err := c.putChunks(ctx, stores.Chunks); err != nil {
		return err
	}
	if report.Unchanged {
		return nil
	}
	for b := range c.m.Blocks {
		if stored := c.m.Blocks[b].Stored; stored != manifest.NoBlock {
			if _, err := stores.Chunks.Put(ctx, stored.ChunkName(), manifest.Compress(blockOf(c.m.Chunks, b)), store.Condition{}); err != nil {
				return err
			}
		}
	}
	encoded, err := manifest.Encode(c.m)
	if err != nil {
		return err
	}
	_, err = stores.Manifests.Put(ctx, c.name, encoded, cond)
	if errors.Is(err, errors.ErrUnsupported) {
		_, err = stores.Manifests.Put(ctx, c.name, encoded, store.Condition{})
	}
	if errors.Is(err, store.ErrPrecondition) {
		return fmt.Errorf("%w: somebody else wrote it just now: %w", ErrCopyRefused, err)
	}
	return err
}

func (c *copying) putChunks(ctx context.Context, chunks store.Store) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(cmp.Or(c.opts.Jobs, 16))
	seen := map[manifest.Fingerprint]bool{manifest.ZeroChunk: true}
	for i, f := range c.m.Chunks {
		if i == 0 || seen[f] || gctx.Err() != nil {
			seen[f] = true
			continue
		}
		seen[f] = true
		g.Go(func() error {
			_, err := chunks.Head(gctx, f.ChunkName())
			if store.IsNotExist(err) {
				var data []byte
				if data, err = c.chunk(c.m.Size, i); err == nil {
					_, err = chunks.Put(gctx, f.ChunkName(), manifest.Compress(data), store.Condition{})
				}
			}
			c.wrote(manifest.ChunkLen(c.m.Size, i))
			return err
		})
	}
	return g.Wait()
}
