package boule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/target"
)

// A logged is an entry of a replica in the log layout.
type logged struct {
	log  *logrep.Log
	head *logrep.Head
}

// manifestOf describes an entry as a manifest does, but for the first chunk, which is where all chunks are.
func manifestOf(e *remotelog.Entry) *manifest.Manifest {
	m := &manifest.Manifest{
		Header: e.Header, VersionID: e.VersionID, Sequence: e.Sequence, Size: e.Size, SourceTime: e.SourceTime,
		Generator: e.Generator, Writer: e.Writer, Blocks: []manifest.Block{},
	}
	for i := range e.Blocks {
		m.Blocks = append(m.Blocks, manifest.Block{Stored: e.Blocks[i].Digest, Digest: e.Blocks[i].Digest})
	}
	return m
}

// layouts are how a replica may lie in a target: as the target says, else as it did when last, which may be nil, was read,
// else in any way.
func layouts(t target.Target, last *Remote) []target.Layout {
	switch {
	case t.Layout != "":
		return []target.Layout{t.Layout}
	case last != nil && last.logged != nil:
		return []target.Layout{target.LayoutLog}
	case last != nil:
		return []target.Layout{target.LayoutChunks}
	}
	return []target.Layout{target.LayoutLog, target.LayoutChunks}
}

// newest gets the newest state of a replica from the first target that has it. Where that is there in both layouts, one was
// left when the configuration changed, and the other is newer. last, which may be nil, is the result if it has not changed. spoolDir, if not empty, is that of
// a spool that may know of a state which was lost.
func newest(ctx context.Context, targets []target.Target, name string, last *Remote, spoolDir string) (*Remote, error) {
	sources := openSources(ctx, targets)
	var errs []error
	var asked []string
	absent := true
targets:
	for i, src := range sources {
		asked = append(asked, src.String())
		var best *Remote
		for _, layout := range layouts(targets[i], last) {
			var r *Remote
			var err error
			switch {
			case layout != target.LayoutLog:
				r, err = newestManifest(ctx, src, sources, name, last)
			case last == nil && spoolDir != "":
				r, err = newestUploaded(ctx, src, spoolDir, targets[i], name)
			default:
				r, err = newestEntry(ctx, src, name, last)
			}
			switch {
			case ctx.Err() != nil:
				return nil, fmt.Errorf("fetch %s: %w", name, context.Cause(ctx))
			case err == nil && (best == nil || r.Manifest.Sequence > best.Manifest.Sequence):
				best = r
			case err != nil && !isAbsent(err):
				absent = false
				errs = append(errs, err)
				continue targets // which of the layouts is newer can't be told
			}
		}
		if best != nil {
			return best, nil
		}
	}
	if absent {
		return nil, fmt.Errorf("%w: %s, in %s", ErrNoReplica, name, strings.Join(asked, ", "))
	}
	return nil, errors.Join(errs...)
}

// newestLog is newest for a replica in the layout log, to find older entries: if the newest are damaged, the newest one that is sound will do. It fails
// with [ErrNoHistory] if there is one in another layout only.
func newestLog(ctx context.Context, t target.Target, name string) (*Remote, error) {
	var absent error
	for _, t.Layout = range layouts(t, nil) {
		r, err := newest(ctx, []target.Target{t}, name, nil, "")
		if errors.Is(err, remotelog.ErrCorrupt) && t.Layout == target.LayoutLog {
			src := openSources(ctx, []target.Target{t})[0]
			log := logrep.New(src.Chunks, src.Manifests, name)
			if head, serr := log.SoundHead(ctx); serr == nil {
				return remoteEntry(src.Name, log, head), nil
			}
		}
		switch {
		case err == nil && r.logged == nil:
			return nil, ErrNoHistory
		case err == nil || !isAbsent(err):
			return r, err
		}
		absent = err
	}
	return nil, absent
}

func isAbsent(err error) bool { return errors.Is(err, ErrNoReplica) || store.IsNotExist(err) }

func newestManifest(ctx context.Context, src replica.Source, sources []replica.Source, name string, last *Remote) (*Remote, error) {
	var known *replica.Remote
	if last != nil {
		known = last.found
	}
	found, err := replica.Poll(ctx, []replica.Source{src}, name, known)
	switch {
	case err != nil:
		return nil, err
	case known != nil && found == known:
		return last, nil
	}
	return &Remote{
		Name: name, Store: found.Source.Name, Raw: found.Encoded, Manifest: found.Manifest, found: found, sources: sources,
	}, nil
}

func newestEntry(ctx context.Context, src replica.Source, name string, last *Remote) (*Remote, error) {
	var known *logrep.Head
	log := logrep.New(src.Chunks, src.Manifests, name)
	if last != nil && last.logged != nil && last.Store == src.Name {
		known, log = last.logged.head, last.logged.log
	}
	head, err := log.Head(ctx, known)
	switch {
	case err != nil:
		return nil, err
	case known != nil && head.Entry.Number == known.Entry.Number:
		return last, nil
	}
	return remoteEntry(src.Name, log, head), nil
}

func remoteEntry(from string, log *logrep.Log, head *logrep.Head) *Remote {
	return &Remote{
		Name: log.Name(), Store: from, Raw: head.Encoded, Manifest: manifestOf(head.Entry), Entry: head.Entry.Number,
		logged: &logged{log, head},
	}
}

// restore writes the database, as [replica.Restore] does.
func (l *logged) restore(ctx context.Context, f replica.File, opts *RestoreOptions) error {
	o := logrep.RestoreOptions{Written: f}
	if opts != nil {
		o.Jobs, o.Progress, o.Zeroed, o.Damaged = opts.Jobs, opts.Progress, opts.Zeroed, opts.Damaged
	}
	if o.Damaged == nil {
		return logrep.Restore(ctx, l.log, l.head.Entry, f, &o)
	}
	var doubts []error
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return logrep.Restore(gctx, l.log, l.head.Entry, f, &o) })
	g.Go(func() error {
		doubts, _ = l.log.Doubts(gctx, l.head) // if they can't be had now, the restore is as good as without
		return nil
	})
	err := g.Wait()
	for _, d := range doubts {
		o.Damaged(d)
	}
	return err
}

// restoreTo writes the database from its beginning to its end. Frames lie in the store in the order in which they were
// written, so it goes through a temporary file.
func (l *logged) restoreTo(ctx context.Context, w io.Writer, opts *RestoreOptions) (err error) {
	f, err := os.CreateTemp("", "boule-restore-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if err := l.restore(ctx, f, opts); err != nil {
		return err
	}
	n, err := io.Copy(w, io.NewSectionReader(f, 0, l.head.Entry.Size))
	if err == nil && n != l.head.Entry.Size {
		err = io.ErrShortWrite
	}
	return err
}
