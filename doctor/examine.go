package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store"
)

// ErrNoSpool reports a prefix that is not there, or is no directory.
var ErrNoSpool = errors.New("no such spool directory")

// ExamineOptions says how spools in use are examined. The zero value judges the trees alone.
type ExamineOptions struct {
	// Open opens the stores of the target with a specification; nil leaves them out. It must not
	// make anything there. If the store for chunks has a method OwnIndex() bool, its result is [Stored.OwnIndex].
	Open func(ctx context.Context, spec json.RawMessage) (chunks, manifests store.Store, err error)
	// VersionID returns the version id that an open database has, given the fingerprint of its
	// header. Nil leaves the databases out.
	VersionID func(f *os.File, header manifest.Fingerprint) []byte
	// Requests is how many are made of a target at most. Zero means 1000.
	Requests int
	// Patience is how long to look at a spool that does not keep still, to wait for the lock of a
	// database, and for a store to answer. Zero means 10 s.
	Patience time.Duration
}

// A Report is what came of an examination.
type Report struct {
	Spools, Databases, Files int   // that were looked at
	Compared                 int64 // bytes of databases
	Requests                 int   // of stores
	Violations               []Violation
	NotJudged                []NotJudged
}

// NotJudged is what could not be judged, and why.
type NotJudged struct {
	Invariants []string `json:"invariants"`
	Path       string   `json:"path"`
	Reason     string   `json:"reason"`
}

// Outside are the invariants that can be judged from outside, of spools that are in use. The others
// are about who does what in which order, which only tests see.
func Outside() []string {
	return []string{"I1", "I2", "I4", "I5", "I6", "I7", "I8", "I9", "I13", "I14", "I15", "I17", "I18", "I19", "I20"}
}

// stillness is how far two looks must be apart, for times of files are coarse.
const stillness = 20 * time.Millisecond

type examination struct {
	opts    ExamineOptions
	prefix  string
	boot    string
	fsys    fsx.FS
	report  *Report
	targets map[string]*asked
}

// Examine judges the spools of this boot below prefix while others use them. It writes nothing,
// and takes no lock but, for moments, that of a reader of a database. Whatever looks wrong is
// reported only if it is found again while nothing has moved. It fails with ErrNoSpool if there is
// nothing to look at, and when ctx is done.
func Examine(ctx context.Context, prefix string, opts *ExamineOptions) (*Report, error) {
	x := &examination{report: &Report{}, targets: map[string]*asked{}}
	if opts != nil {
		x.opts = *opts
	}
	if x.opts.Requests == 0 {
		x.opts.Requests = 1000
	}
	if x.opts.Patience == 0 {
		x.opts.Patience = 10 * time.Second
	}
	if info, err := os.Stat(prefix); errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%w: %s", ErrNoSpool, prefix)
	} else if err != nil {
		return nil, err
	}
	root, err := spool.OpenRoot(prefix, 0, nil)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if x.prefix, err = filepath.Abs(prefix); err != nil {
		return nil, err
	}
	if x.fsys, err = fsx.OS(x.prefix); err != nil {
		return nil, err
	}
	defer x.fsys.Close()
	x.boot = filepath.Base(root.Dir())
	x.all(ctx)
	slices.SortStableFunc(x.report.Violations, func(a, b Violation) int {
		if d := number(a) - number(b); d != 0 {
			return d
		}
		return strings.Compare(a.Path, b.Path)
	})
	return x.report, ctx.Err()
}

// all judges what belongs to no spool, and then each spool.
func (x *examination) all(ctx context.Context) {
	tree := Look(x.fsys, x.boot, nil)
	for _, err := range tree.Errs {
		x.skip(x.prefix, err.Error(), Outside()...)
	}
	alone := func(t *Tree) []Violation {
		return Judge(&State{Tree: &Tree{Boot: t.Boot, Boots: t.Boots, Stray: t.Stray}}, nil)
	}
	if found := alone(tree); len(found) > 0 && x.pause(ctx) {
		again := alone(Look(x.fsys, x.boot, nil))
		for _, v := range found {
			if slices.Contains(again, v) {
				x.report.Violations = append(x.report.Violations, v)
			}
		}
	}
	var paths []string
	for path := range tree.Spools {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		if ctx.Err() != nil {
			return
		}
		x.spool(ctx, path)
	}
}

func (x *examination) skip(path, reason string, ids ...string) {
	x.report.NotJudged = append(x.report.NotJudged, NotJudged{ids, path, reason})
}

// pause waits until times of files tell a change from what was before.
func (x *examination) pause(ctx context.Context) bool {
	timer := time.NewTimer(stillness)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// enduring are the invariants of things that do not move: to find the same twice is enough.
var enduring = []string{"I1", "I2", "I20"}

// spool judges one spool until there is nothing to suspect, or it is certain.
func (x *examination) spool(ctx context.Context, path string) {
	cache := NewCache()
	var last *Spool
	var suspects []Violation
	for deadline := time.Now().Add(x.opts.Patience); ; {
		s, found := x.look(ctx, path, cache)
		if s == nil {
			break // it was removed
		}
		var open []Violation
		still := unmoved(last, s)
		for _, v := range found {
			sure := slices.Contains(suspects, v) &&
				(still || slices.Contains(enduring, v.Invariant) || !strings.HasPrefix(v.Path, "boule-"))
			switch {
			case slices.Contains(x.report.Violations, v):
			case sure:
				x.report.Violations = append(x.report.Violations, v)
			default:
				open = append(open, v)
			}
		}
		last, suspects = s, found
		if len(open) == 0 {
			break
		}
		if time.Now().After(deadline) || !x.pause(ctx) {
			for _, v := range open {
				x.skip(v.Path, "it changes all the time; at one moment: "+v.Detail, v.Invariant)
			}
			break
		}
	}
	if last == nil {
		return
	}
	x.report.Spools++
	x.report.Files += len(last.stamps)
	for _, err := range last.Errs {
		x.skip(path, err.Error(), Outside()...)
	}
	if a := x.targets[last.Key.Target]; a != nil {
		a.account(x, path)
	}
	if x.opts.VersionID != nil {
		x.database(ctx, last)
	}
}

// look sees a spool at one moment, asks the store for what is not there, and judges.
func (x *examination) look(ctx context.Context, path string, cache *Cache) (*Spool, []Violation) {
	taps := &looker{x.fsys, cache, &Tree{Taps: map[string]map[string]*File{}}}
	taps.taps(x.boot + "/.tap") // first, since the store is at least as new
	s := LookAt(x.fsys, path, cache)
	if s == nil {
		return nil, nil
	}
	state := &State{
		Tree:   &Tree{Boot: x.boot, Spools: map[string]*Spool{path: s}, Taps: map[string]map[string]*File{}},
		Stores: map[string]*Stored{}, Databases: map[string]*Database{},
	}
	own := map[string]*File{}
	for name, f := range taps.tree.Taps[s.Key.Target] {
		if s.Staging.Manifests[name] != nil {
			own[name] = f
		}
	}
	state.Tree.Taps[s.Key.Target] = own
	if s.Metadata != nil {
		if info, err := os.Stat(s.Metadata.Path); err == nil {
			state.Databases[s.Metadata.Path] = &Database{Size: info.Size()}
		}
		if x.opts.Open != nil {
			if stored := x.ask(ctx, s); stored != nil {
				state.Stores[s.Key.Target] = stored
			}
		}
	}
	return s, Judge(state, nil)
}
