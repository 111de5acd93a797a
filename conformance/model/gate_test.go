//go:build linux || darwin || freebsd

package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/doctor"
	"github.com/boule-db/boule/internal/fsx"
)

// errKilled is what an operation of a process that was killed returns instead of happening. What
// the process does with it has no effect any more.
var errKilled = errors.New("model: killed")

// A class says what an operation touches, so that the scheduler can stop an actor before it
// touches something of that kind.
type class uint8

const (
	private     class = iota // of the actor alone: it commutes with all that others do
	scratch                  // links, and the cleaning of scratch directories
	staged                   // the directory of staged chunks
	stagedChunk              // a staged chunk
	meta                     // staged manifests, and their directory
	publish                  // ready, by a rename
	ready                    // whether ready is empty
	take                     // consuming, by a rename
	consuming                // whether consuming is empty
	batch                    // what is in ready or consuming
	tidy                     // empty ready and consuming, by their removal
	tap                      // taps and their tokens
	locks                    // of manifests and of taps
	database                 // the database and its locks
	putChunk                 // to the store
	putManifest              // to the store
	head                     // of the store
	classes
)

// classify says what a file operation touches. Of two names it is given the new one.
func classify(op fsx.Op, name string) class {
	_, in, ok := cutSpool(name)
	switch {
	case strings.Contains(name, "/.tap/"):
		if op == fsx.OpRename || op == fsx.OpReadFile || op == fsx.OpStat {
			return tap
		}
		return private
	case !ok:
		return private
	case op == fsx.OpLock:
		return locks
	case strings.HasPrefix(in, "staging/scratch/"):
		if op == fsx.OpLink || op == fsx.OpRenameDir {
			return scratch
		}
		return private
	case in == "staging/chunks":
		return staged
	case strings.HasPrefix(in, "staging/chunks/"):
		return stagedChunk
	case strings.HasPrefix(in, "staging/meta"):
		return meta
	case in == "ready", in == "consuming":
		switch {
		case op == fsx.OpRemove:
			return tidy
		case op == fsx.OpRenameDir && in == "ready":
			return publish
		case op == fsx.OpRenameDir:
			return take
		case in == "ready":
			return ready
		}
		return consuming
	case strings.HasPrefix(in, "ready/"), strings.HasPrefix(in, "consuming/"):
		return batch
	}
	return private
}

// cutSpool splits a name below the prefix into that of the spool and what is in it.
func cutSpool(name string) (dir, in string, ok bool) {
	parts := strings.SplitN(name, "/", 4)
	if len(parts) < 4 || !strings.HasPrefix(parts[0], "boule-") {
		return "", "", false
	}
	return strings.Join(parts[:3], "/"), parts[3], true
}

// A stop is an operation that an actor is about to do. It happens when the scheduler says so.
type stop struct {
	who   string // the actor
	what  string
	class class
	op    fsx.Op      // of files
	put   *request    // of stores
	may   func() bool // nil, or says whether it can happen now
	busy  error       // of locks: what can be returned instead of waiting
	p     *process    // nil for a stranger

	resume chan error // gets the error that the operation returns instead of happening, nil if it happens
}

func (s *stop) enabled() bool { return s.may == nil || s.may() }

// A gate is where actors stand before each operation. The scheduler lets one of them through at a
// time, so that what happens is a function of its choices.
type gate struct {
	mu      sync.Mutex // guards what follows
	open    bool       // nobody has to stop
	parked  []*stop
	arrived chan struct{}
}

func newGate() *gate { return &gate{arrived: make(chan struct{}, 1)} }

// pass is called by actors. The error is to be returned instead of doing the operation.
func (g *gate) pass(ctx context.Context, s *stop) error {
	g.mu.Lock()
	if s.p != nil && s.p.dead.Load() {
		g.mu.Unlock()
		return errKilled
	}
	if g.open {
		g.mu.Unlock()
		return nil
	}
	s.resume = make(chan error, 1)
	g.parked = append(g.parked, s)
	g.mu.Unlock()
	select {
	case g.arrived <- struct{}{}:
	default:
	}
	select {
	case err := <-s.resume:
		return err
	case <-ctx.Done():
		g.leave(s)
		return ctx.Err()
	}
}

func (g *gate) leave(s *stop) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.parked = slices.DeleteFunc(g.parked, func(o *stop) bool { return o == s })
}

// all returns those who stand there, in an order that depends on nothing but who they are.
func (g *gate) all() []*stop {
	g.mu.Lock()
	defer g.mu.Unlock()
	slices.SortStableFunc(g.parked, func(a, b *stop) int {
		return cmp.Or(cmp.Compare(a.who, b.who), cmp.Compare(a.what, b.what))
	})
	return slices.Clone(g.parked)
}

// enabled returns those who can go on.
func (g *gate) enabled() []*stop {
	return slices.DeleteFunc(g.all(), func(s *stop) bool { return !s.enabled() })
}

// release lets one through, with nil, or refuses it, and waits until nobody runs any more.
func (g *gate) release(s *stop, err error) {
	g.leave(s)
	s.resume <- err
	synctest.Wait()
}

// elapse lets time pass until somebody arrives, but not longer than d. It reports whether
// somebody did.
func (g *gate) elapse(d time.Duration) bool {
	select {
	case <-g.arrived:
	default:
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-g.arrived:
		synctest.Wait()
		return true
	case <-timer.C:
		synctest.Wait()
		return false
	}
}

// wrap makes the operations of a file system stop at the gate, and the doctor see them.
func (p *process) wrap(actor doctor.Actor) func(fsx.FS) fsx.FS {
	return func(base fsx.FS) fsx.FS {
		return p.w.watch.rec.FS(actor, &view{p: p, FS: fsx.Faulty(base, func(op fsx.Op, name string) error {
			if !strings.Contains(name, "/") {
				if p.dead.Load() {
					return errKilled
				}
				return nil // while the root looks for the directory of its boot it holds a lock
			}
			who := p.copier(actor.Name)
			if actor.Role == doctor.Producer { // on the connection's own goroutine
				if c := p.tracking; c != nil {
					who = c.String()
				}
			}
			return p.w.gate.pass(context.Background(), &stop{
				who: who, what: string(op) + " " + name, class: classify(op, name), op: op, p: p,
			})
		})})
	}
}

// actor is one of the process, as the doctor knows it.
func (p *process) actor(role doctor.Role, name string) doctor.Actor {
	return doctor.Actor{Role: role, Process: p.n + 1000*p.life, Name: name}
}

// copier names the copier of a target among the actors.
func (p *process) copier(target string) string {
	if len(target) > 1 {
		target = target[:1]
	}
	return fmt.Sprintf("copier%d.%s", p.n, target)
}

// short leaves out of what happened what all names have in common, and what differs in each run.
func short(s string) string {
	return longNames.ReplaceAllStringFunc(s, func(s string) string {
		switch {
		case strings.HasSuffix(s, "%2Fdb"):
			return "MANIFEST"
		case strings.HasPrefix(s, "boule-"), strings.HasPrefix(s, "#"):
			return ""
		case strings.HasSuffix(s, ".tmp"):
			return s[len(s)-8:]
		}
		return s[:4]
	})
}

var longNames = regexp.MustCompile(`[0-9a-f]{16}%2F[0-9a-f]{16}|[^./ ]*boule%3A[^/. ]*%2Fdb|#[^/ ]*#db/[0-9]+.[0-9]+[.]|boule-[0-9.a-f-]+-v2/` +
	`|[0-9]+[.][0-9]+[.][0-9a-f]{32}[.]tmp|[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+[.][0-9a-f]{32}`)

// A view is the disk as a process sees it. Its clock may be as coarse as real ones are, on which
// changes within one tick cannot be told apart by their times. It also keeps an eye on the lock
// of the manifests.
type view struct {
	fsx.FS
	p    *process
	path string
}

func (v *view) Stat(name string) (fsx.Info, error) {
	info, err := v.FS.Stat(name)
	return v.p.w.coarsen(info), err
}

func (v *view) Open(name string) (fsx.File, error) {
	f, err := v.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return &viewFile{f, v.p.w}, nil
}

func (v *view) Sub(name string) (fsx.FS, error) {
	sub, err := v.FS.Sub(name)
	if err != nil {
		return nil, err
	}
	return &view{sub, v.p, v.path + "/" + name}, nil
}

func (v *view) Remove(name string) error {
	if name == metaLock {
		for _, b := range v.p.w.buckets {
			b.raced = true
		}
	}
	return v.FS.Remove(name)
}

func (v *view) TryLock(name string) (io.Closer, error) {
	l, err := v.FS.TryLock(name)
	if err != nil || name != metaLock {
		return l, err
	}
	target := v.path[strings.LastIndexByte(v.path, '.')+1:]
	v.p.w.locked[target] = v.p
	return &viewLock{l, v.p, target}, nil
}

const metaLock = ".meta_copy_lock"

type viewLock struct {
	io.Closer
	p      *process
	target string
}

func (l *viewLock) Close() error {
	if w := l.p.w; w.locked[l.target] == l.p {
		delete(w.locked, l.target)
	}
	return l.Closer.Close()
}

type viewFile struct {
	fsx.File
	w *world
}

func (v *viewFile) Stat() (fsx.Info, error) {
	info, err := v.File.Stat()
	return v.w.coarsen(info), err
}

func (w *world) coarsen(info fsx.Info) fsx.Info {
	if tick := w.plan.tick; tick > 0 {
		info.ChangeTime = info.ChangeTime.Truncate(tick)
		info.ModTime = info.ModTime.Truncate(tick)
	}
	return info
}
