package logwriter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// maxMoves is how often an append begins again because another process of the same owner was faster.
const maxMoves = 8

// errMoved says that the newest entry is another one than it was thought to be, by the same owner.
var errMoved = errors.New("logwriter: the log has moved on")

// A Source has what is new in a snapshot.
type Source interface {
	// Block returns an index block that the manifest names, as a manifest.BlockReader does.
	Block(ctx context.Context, f manifest.Fingerprint) ([]byte, error)
	// Chunk returns a chunk. It fails with fs.ErrNotExist if the chunk is not at hand, since it has not
	// changed since the last snapshot that was appended.
	Chunk(ctx context.Context, f manifest.Fingerprint) ([]byte, error)
}

// A Result says what an append did.
type Result struct {
	Entry     uint64 // number of the newest entry now
	Unchanged bool   // it was the same state already; nothing was sent
	Objects   int    // put, without the copy of the newest entry
	Bytes     int64  // that they have
}

// A Writer appends to one replica. It is safe for concurrent use, one call after the other. Several
// Writers, also those of other processes, may append to the same replica if they have the same owner.
type Writer struct {
	packs, entries store.Store
	name           string
	o              Options
	log            *logrep.Log

	mu       sync.Mutex   // one call at a time; guards what follows
	head     *head        // the newest entry, as far as known; nil if it has to be read
	last     *logrep.Head // an entry from which to look for the newest one
	sure     time.Time    // when head was known to be the newest entry
	fenced   error        // why nothing can be appended any more
	owned    bool         // this Writer has appended
	pages    *pageMemory
	blocks   blockCache       // of head
	spent    map[int]spending // by block; less than it was, if the entry was read
	latest   latestCopy
	pace     latestPace
	mine     uint64    // newest entry that this Writer appended
	appended time.Time // when it did
	plain    ternary   // the store ignores conditions
	// Objects of which most was found to be needed, when that were so many pages, plus one.
	solid  map[remotelog.ObjectID]int
	known  map[remotelog.ObjectID]object // which never change
	grown  growth
	plan   []candidate // what compactions still have to do
	behind bool        // there was a plan that has to be made anew

	bundled    bundled
	bundling   bundling // what compactions still have to put into bundles
	passed     uint64   // entries up to this are in bundles, or in none for good
	allBundled bool     // nothing is left of bundling, so a plan is to be made, and carried out, before there is more

	lately   lately // what was appended by this Writer
	salvaged salvage
	stranger stranger
	damage   damage
	distrust bool // objects may be gone: they are listed when the newest entry is read next
	noCopy   bool // the log was opened anew since its copy of the newest entry was lost, and there is none yet
}

// A ternary is a truth that may not be known.
type ternary int

const (
	unknown ternary = iota
	no
	yes
)

// New returns a Writer for the replica of that name (manifest.Name), whose entries are in one store and whose packs are
// in another, or the same. It does nothing yet.
func New(packs, entries store.Store, name string, o Options) *Writer {
	o = o.withDefaults()
	packs, entries = counted{packs, o.Request}, counted{entries, o.Request}
	return &Writer{
		packs: packs, entries: entries, name: name, o: o,
		log:    logrep.New(packs, entries, name),
		pages:  newPageMemory(o.Remember),
		known:  make(map[remotelog.ObjectID]object),
		latest: latestCopy{s: entries, name: name}, pace: newLatestPace(),
	}
}

// Append makes m the newest state. If that is already so, it sends nothing, unless some of it is known to be damaged. It fails with ErrFenced if the replica belongs
// to another owner, ErrSuperseded if the same owner appended something newer, and a *MissingError if src
// lacks a chunk that the newest entry does not have. After an error nothing was appended, or it is not known whether it was, as after
// a lost reply; the next call finds out. It is always safe to try again.
func (w *Writer) Append(ctx context.Context, m *manifest.Manifest, src Source) (Result, error) {
	return w.append(ctx, m, src, false)
}

// Takeover is Append whoever appended last. It is for people to decide: the other writer is fenced by it.
func (w *Writer) Takeover(ctx context.Context, m *manifest.Manifest, src Source) (Result, error) {
	return w.append(ctx, m, src, true)
}

func (w *Writer) append(ctx context.Context, m *manifest.Manifest, src Source, take bool) (Result, error) {
	if w.o.Owner.Spool == [16]byte{} {
		return Result{}, errors.New("append: no owner")
	}
	if err := m.Validate(); err != nil {
		return Result{}, fmt.Errorf("append: %w", err)
	}
	if m.Blocks == nil {
		whole := *m
		whole.Blocks = manifest.InlineBlocks(m.Chunks)
		m = &whole
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if take {
		w.fenced = nil
		w.forget()
	}
	remembered := w.head != nil
	res, err := w.repeat(ctx, func() (Result, error) { return w.try(ctx, m, src, take) })
	var missing *MissingError
	var unreadable *unreadableError
	if remembered && (errors.As(err, &missing) || errors.As(err, &unreadable)) {
		// Another process of the owner may have appended it meanwhile, and so nobody has to have it at hand any more; and what another one has
		// repaired, nobody has to read.
		w.forget()
		res, err = w.repeat(ctx, func() (Result, error) { return w.try(ctx, m, src, take) })
	}
	for w.suspect(err) {
		res, err = w.repeat(ctx, func() (Result, error) { return w.try(ctx, m, src, take) })
	}
	if err == nil {
		w.damage = damage{}
	}
	return res, err
}

// repeat calls try until no other process of the owner gets in between.
func (w *Writer) repeat(ctx context.Context, try func() (Result, error)) (Result, error) {
	if w.fenced != nil {
		return Result{}, w.fenced
	}
	for range maxMoves {
		res, err := try()
		if !errors.Is(err, errMoved) || ctx.Err() != nil {
			return res, err
		}
		w.forget()
	}
	return Result{}, ErrContended
}

// try appends m once. errMoved: begin again.
func (w *Writer) try(ctx context.Context, m *manifest.Manifest, src Source, take bool) (Result, error) {
	h, err := w.current(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("append: %w", err)
	}
	newest := h.entry()
	foreign := newest != nil && !newest.Owner.Same(w.o.Owner)
	switch {
	case foreign && !take:
		if err := w.adopt(ctx, h, m, src); err != nil {
			return Result{}, err
		}
	case newest == nil:
		w.latest = latestCopy{s: w.entries, name: w.name} // what is known was of another log
		if err := clearLists(ctx, w.entries, w.name, w.o.Logger); err != nil {
			if errors.Is(err, errMoved) {
				return Result{}, err
			}
			return Result{}, fmt.Errorf("append: %w", err)
		}
	case foreign:
	case m.Sequence == newest.Sequence && m.Size == newest.Size && m.Contents() == newest.Contents():
		if w.damage.empty() {
			return Result{Entry: newest.Number, Unchanged: true}, nil
		}
	case m.Sequence <= newest.Sequence && !take:
		return Result{}, fmt.Errorf("%w: sequence %d, entry %d has %d",
			ErrSuperseded, m.Sequence, newest.Number, newest.Sequence)
	}
	if err := w.verify(ctx, h); err != nil {
		return Result{}, err
	}
	if err := w.probe(ctx, h); err != nil {
		return Result{}, err
	}
	e := &remotelog.Entry{
		Takeover: take, Header: m.Header, VersionID: m.VersionID, Sequence: m.Sequence, Size: m.Size,
		SourceTime: m.SourceTime, Generator: m.Generator, Writer: m.Writer,
	}
	return w.compose(ctx, h, e, func(a *appending) error { return a.snapshot(ctx, m, src) })
}

// clearLists empties the lists that a log has left which is gone, before another begins: what they list has the numbers of entries to come. errMoved: somebody
// else does, too.
func clearLists(ctx context.Context, s store.Store, name string, logger *slog.Logger) error {
	pruned, info, err := readList(ctx, s, remotelog.PrunedKey(name), remotelog.MaxPruned, func(b []byte) (remotelog.Pruned, error) {
		return remotelog.DecodePruned(name, b)
	})
	switch {
	case err == nil && !pruned.Garbage && pruned.Last() == 0:
		return nil
	case err != nil && !errors.Is(err, remotelog.ErrCorrupt):
		return fmt.Errorf("look what is left of an older log: %w", err)
	}
	logger.Error("all entries of the replica are gone, though not the list of what was pruned: it begins anew, with none of its older states", "name", name)
	_, waste, err := readList(ctx, s, remotelog.GarbageKey(name), remotelog.MaxGarbage, func(b []byte) (remotelog.Garbage, error) {
		return remotelog.DecodeGarbage(name, b)
	})
	if err == nil || errors.Is(err, remotelog.ErrCorrupt) {
		_, err = putList(ctx, s, remotelog.GarbageKey(name), remotelog.EncodeGarbage(name, remotelog.Garbage{}), waste)
	}
	if err == nil {
		_, err = putList(ctx, s, remotelog.PrunedKey(name), remotelog.EncodePruned(name, remotelog.Pruned{}), info)
	}
	switch {
	case errors.Is(err, store.ErrPrecondition):
		return errMoved
	case err != nil:
		return fmt.Errorf("empty the lists of an older log: %w", err)
	}
	return nil
}
