//go:build linux || darwin || freebsd

package model

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/doctor"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/internal/instance"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/tracker"
)

const (
	hostname = "host"
	prefix   = "/spool"
)

var targetIDs = []string{"aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"}

// Faults of store requests.
var (
	errLost = fmt.Errorf("model: the reply was lost: %w", store.ErrUnknownOutcome)
	errLate = fmt.Errorf("model: it may happen later: %w", store.ErrUnknownOutcome)
)

// A world is a database, the processes that use it, their spool and the stores of its targets. In
// it one thing happens at a time.
type world struct {
	plan    *plan
	path    string // of the database
	name    string // of its manifests
	disk    *fsx.Mem
	now     int64 // ticks of the disk's clock
	boot    int
	gate    *gate
	db      *db
	procs   []*process
	strange *conn
	targets []spool.Target
	buckets map[string]*bucket
	late    []*request // puts that may still be carried out
	watch   watcher
	locked  map[string]*process // who holds the lock of the manifests, by target
	rand    *rand.Rand

	settling bool // no faults any more
	contents int  // that were written so far
	trace    []event
	problems []string
	count    counts
}

// counts are what a run, or all of them, consisted of.
type counts struct {
	runs, steps, checks, puts, manifests, kills, boots, faults, late int
	verbs, tasks                                                     map[string]int
}

func (c *counts) add(o counts) {
	c.runs += o.runs
	c.steps += o.steps
	c.checks += o.checks
	c.puts += o.puts
	c.manifests += o.manifests
	c.kills += o.kills
	c.boots += o.boots
	c.faults += o.faults
	c.late += o.late
	merge := func(to *map[string]int, from map[string]int) {
		if *to == nil {
			*to = map[string]int{}
		}
		for k, n := range from {
			(*to)[k] += n
		}
	}
	merge(&c.verbs, o.verbs)
	merge(&c.tasks, o.tasks)
}

func (c counts) String() string {
	list := func(m map[string]int) string {
		var b strings.Builder
		for _, k := range slices.Sorted(maps.Keys(m)) {
			fmt.Fprintf(&b, " %s %d", k, m[k])
		}
		return b.String()
	}
	return fmt.Sprintf("%d runs, %d operations, invariants evaluated %d times, %d puts (%d of manifests, %d late), "+
		"%d kills, %d reboots, %d faults\nchoices:%s\ntasks:%s",
		c.runs, c.steps, c.checks, c.puts, c.manifests, c.late, c.kills, c.boots, c.faults, list(c.verbs), list(c.tasks))
}

// specOf is the specification of a target.
func specOf(id string) json.RawMessage {
	return json.RawMessage(`{"file":{"directory":"/` + id + `"},"layout":"chunks"}`)
}

// newWorld returns a world in a directory that is empty.
func newWorld(dir string, p *plan) *world {
	w := &world{
		plan: p, path: filepath.Join(dir, "db"), gate: newGate(), buckets: map[string]*bucket{},
		locked: map[string]*process{}, rand: rand.New(rand.NewPCG(p.seed, 1)),
	}
	w.count = counts{runs: 1, verbs: map[string]int{}, tasks: map[string]int{}}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		w.path = filepath.Join(real, "db")
	}
	w.name = manifest.Name(hostname, w.path)
	w.disk = fsx.NewMem(&fsx.MemOptions{Now: w.tick})
	w.db = newDB(w, w.path)
	for _, id := range targetIDs[:p.targets] {
		w.targets = append(w.targets, spool.Target{ID: id, Spec: specOf(id)})
		w.buckets[id] = newBucket(w, id)
	}
	w.watch.w = w
	w.watch.reset()
	w.strange = &conn{w: w}
	for n := range p.procs {
		w.procs = append(w.procs, newProcess(w, n, 1))
	}
	return w
}

// tick tells the time of the disk, on which each change has a time of its own.
func (w *world) tick() time.Time {
	w.now++
	return time.Now().Add(time.Duration(w.now))
}

func (w *world) bad(invariant, format string, args ...any) {
	w.problems = append(w.problems, invariant+": "+fmt.Sprintf(format, args...))
}

func (w *world) bootID() instance.ID {
	return instance.ID{Time: 1000 + int64(w.boot)*100, UUID: fmt.Sprintf("00000000-0000-0000-0000-%012d", w.boot)}
}

// afloat notes a put that may be carried out later.
func (w *world) afloat(r *request) { w.late = append(w.late, r) }

// holds says whether a process has the lock of the manifests of a target.
func (w *world) holds(p *process, target string) bool { return w.locked[target] == p }

// A process is one that uses the database through Boule.
type process struct {
	w        *world
	n        int
	life     int // how often it was started
	dead     atomic.Bool
	m        *tracker.Manager
	c        *copier.Copier
	roots    map[string]*spool.Root // of the tracker, and by target of the copier
	conns    []*conn
	yields   func() uint64
	tracking *conn // is in the tracker
	added    map[spool.Key]bool
	flushing map[string]bool // targets
	ctx      context.Context // ends with the process
	cancel   context.CancelFunc
}

// newProcess starts a process for the life'th time.
func newProcess(w *world, n, life int) *process {
	p := &process{
		w: w, n: n, life: life, added: map[spool.Key]bool{}, roots: map[string]*spool.Root{},
		flushing: map[string]bool{},
	}
	log := slog.New(&alarm{w})
	actors := []doctor.Actor{p.actor(doctor.Producer, "")}
	for _, t := range w.targets {
		actors = append(actors, p.actor(doctor.Consumer, t.ID))
	}
	for _, actor := range actors {
		root, err := spool.OpenRoot(prefix, 0o700, &spool.Options{
			Logger: log, Hostname: hostname,
			FS:     w.openDisk,
			WrapFS: p.wrap(actor),
			Lstat:  w.lstat,
			Boot:   w.bootID(), Process: fmt.Sprintf("%d.%d", 100+p.n, life),
			Now:  w.clock,
			Rand: p.random(actor.Name),
		})
		if err != nil {
			panic(err)
		}
		p.roots[actor.Name] = root
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	coalesce := time.Duration(-1)
	if w.plan.coalesce {
		coalesce = 0
	}
	chunks := -1
	if w.plan.deferred {
		chunks = 1
	}
	p.yields = p.random("yields")
	p.m = tracker.New(&tracker.Options{
		Root: p.roots[""], Hostname: hostname, Targets: w.targets, Logger: log,
		MinBackoff: 1, MaxBackoff: 1, Notify: p.notify, Coalesce: coalesce,
		CommitChunks: chunks, Overrides: w.plan.overrides, Patience: -1, Pause: 1,
	})
	spacing := time.Duration(-1)
	if w.plan.spaced {
		spacing = 0
	}
	p.c = copier.New(&copier.Options{
		Open: func(_ context.Context, spec json.RawMessage) (*copier.Stores, error) {
			var b *bucket
			for _, t := range w.targets {
				if bytes.Equal(spec, t.Spec) {
					b = w.buckets[t.ID]
				}
			}
			s := client{b, p}
			return &copier.Stores{Chunks: store.WithPrefix(s, "c/"), Manifests: store.WithPrefix(s, "m/")}, nil
		},
		Desync:  p.m.Desync,
		Logger:  log,
		Spacing: spacing, Rescan: -1, Workers: 2, ChunkUploads: 1,
		MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond, Rand: p.random("pauses"),
	})
	for n := range w.plan.conns {
		p.conns = append(p.conns, &conn{w: w, p: p, n: n})
	}
	return p
}

// random returns the random numbers that a part of the process gets.
func (p *process) random(part string) func() uint64 {
	sum := manifest.Sum(fmt.Append(nil, p.w.plan.seed, p.w.boot, p.n, p.life, part))
	r := rand.NewPCG(sum.Hi, sum.Lo)
	var mu sync.Mutex
	return func() uint64 {
		mu.Lock()
		defer mu.Unlock()
		return r.Uint64()
	}
}

// alive returns a process, which is started if it is dead.
func (w *world) alive(n int) *process {
	if p := w.procs[n]; p.dead.Load() {
		w.procs[n] = newProcess(w, n, p.life+1)
	}
	return w.procs[n]
}

// notify is what the program does for the tracker.
func (p *process) notify(key spool.Key) {
	if !p.w.plan.background || p.dead.Load() {
		return
	}
	if !p.added[key] {
		p.added[key] = true
		p.c.Add(p.roots[key.Target], key)
		return
	}
	p.c.Notify(key)
}

// kill ends the process where it stands.
func (p *process) kill() {
	if p.dead.Swap(true) {
		return
	}
	w := p.w
	for _, s := range w.gate.all() {
		if s.p == p {
			if s.put != nil {
				w.afloat(s.put)
			}
			w.gate.leave(s)
			s.resume <- errKilled
		}
	}
	synctest.Wait()
	p.cancel()
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	p.c.Close(gone)
	p.m.Close()
	synctest.Wait()
	for _, c := range p.conns {
		w.db.drop(c)
		c.release()
		c.busy = false
	}
	for id, holder := range w.locked {
		if holder == p {
			delete(w.locked, id)
		}
	}
}

// reboot kills all processes, and loses of the spool what was never synced, or some of it.
func (w *world) reboot(image uint64) {
	for _, p := range w.procs {
		p.kill()
	}
	w.count.boots++
	w.boot++
	w.gate.elapse(10 * time.Second) // without time, sequences would not grow
	w.disk = w.disk.Crash(rand.New(rand.NewPCG(image, 2)))
	w.watch.reset()
}

// begin runs something as a task of a connection.
func (w *world) begin(c *conn, name string, task func() error) {
	w.count.tasks[name]++
	c.busy = true
	go func() {
		err := task()
		if c.p != nil && c.p.dead.Load() {
			return
		}
		if err != nil && !errors.Is(err, errBusy) {
			w.bad("SQLite", "%s: %s failed: %v", c, name, err)
		}
		c.busy = false
	}()
	synctest.Wait()
}

// clock is the time of the processes.
func (w *world) clock() time.Time { return time.Now().Add(time.Duration(w.now)) }

func (w *world) openDisk(dir string) (fsx.FS, error) { return w.disk.Sub(filepath.Clean("." + dir)) }

// lstat looks at the database, which is on the disk of the machine, and at spools.
func (w *world) lstat(path string) (fsx.Info, error) {
	if !strings.HasPrefix(path, prefix) {
		return fsx.Lstat(path)
	}
	return w.disk.Stat(strings.TrimPrefix(path, "/"))
}

// An alarm is a log in which only bugs are of interest.
type alarm struct{ w *world }

func (a *alarm) Enabled(context.Context, slog.Level) bool { return true }

func (a *alarm) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "panic") || strings.Contains(r.Message, "changed without a notice") {
		var b strings.Builder
		b.WriteString(r.Message)
		r.Attrs(func(at slog.Attr) bool {
			fmt.Fprintf(&b, " %s=%v", at.Key, at.Value)
			return true
		})
		a.w.bad("log", "%s", &b)
	}
	return nil
}

func (a *alarm) WithAttrs([]slog.Attr) slog.Handler { return a }
func (a *alarm) WithGroup(string) slog.Handler      { return a }

var diskFaults = []error{syscall.EIO, syscall.ENOSPC, syscall.EACCES, syscall.EMFILE}
