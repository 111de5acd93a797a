package logwriter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

// unconditional is a store that ignores conditions.
type unconditional struct{ store.Store }

func (s unconditional) Put(ctx context.Context, key string, body []byte, _ store.Condition) (store.Info, error) {
	return s.Store.Put(ctx, key, body, store.Condition{})
}

// unsupporting is a store that refuses conditions.
type unsupporting struct{ store.Store }

func (s unsupporting) Put(ctx context.Context, key string, body []byte, c store.Condition) (store.Info, error) {
	if !c.IsZero() {
		return store.Info{}, fmt.Errorf("put %q: %w", key, errors.ErrUnsupported)
	}
	return s.Store.Put(ctx, key, body, c)
}

func TestFenced(t *testing.T) {
	for name, wrap := range map[string]func(store.Store) store.Store{
		"conditional":   func(s store.Store) store.Store { return s },
		"unconditional": func(s store.Store) store.Store { return unconditional{s} },
		"unsupporting":  func(s store.Store) store.Store { return unsupporting{s} },
	} {
		t.Run(name, func(t *testing.T) { testFenced(t, wrap(mem.New())) })
	}
}

func testFenced(t *testing.T, under store.Store) {
	s := count(under)
	var c clock
	a := logwriter.New(s, s, testName, logwriter.Options{Owner: owner(1), Now: c.Now})
	b := logwriter.New(s, s, testName, logwriter.Options{Owner: owner(2), Now: c.Now})
	data := random(300_000, 1)
	sequence := uint64(0)
	send := func(w *logwriter.Writer, take bool) (logwriter.Result, error) {
		data[1000]++
		sequence++
		sn := takeSnap(data, sequence)
		if take {
			return w.Takeover(t.Context(), sn.m, sn)
		}
		return w.Append(t.Context(), sn.m, sn)
	}
	must := func(w *logwriter.Writer, take bool, want uint64) {
		t.Helper()
		res, err := send(w, take)
		if err != nil || res.Entry != want {
			t.Fatalf("got %+v, %v, want entry %d", res, err, want)
		}
		if !bytes.Equal(restore(t, s.Store, want), data) {
			t.Fatalf("entry %d restores to something else", want)
		}
	}
	fenced := func(w *logwriter.Writer, by byte, entry uint64) {
		t.Helper()
		_, err := send(w, false)
		var f *logwriter.FencedError
		if !errors.Is(err, logwriter.ErrFenced) || !errors.As(err, &f) || f.Owner != owner(by) || f.Entry != entry || f.Writer != "host 1" {
			t.Fatalf("got %v, want %v by owner %d, entry %d", err, logwriter.ErrFenced, by, entry)
		}
	}
	must(a, false, 1)
	must(a, false, 2)

	// Another one may not, and sends nothing.
	s.reset()
	fenced(b, 1, 2)
	if s.verbs[store.VerbPut] != 0 {
		t.Errorf("a fenced writer made %d puts", s.verbs[store.VerbPut])
	}
	// Until the newest entry is old.
	c.set(time.Now().Add(59 * time.Second))
	fenced(b, 1, 2)
	c.set(time.Now().Add(62 * time.Second))
	must(b, false, 3)
	// The first one, which wakes up, learns so, and stays fenced however old that entry gets, at no cost.
	fenced(a, 2, 3)
	c.set(time.Now().Add(time.Hour))
	s.reset()
	fenced(a, 2, 3)
	if s.requests() != 0 {
		t.Errorf("a writer that knows that it is fenced made %d requests", s.requests())
	}
	must(b, false, 4)
	// Until somebody says so.
	must(a, true, 5)
	if e, _ := entryOf(t, s, 5); !e.Takeover || e.Owner != owner(1) {
		t.Errorf("entry of a takeover: %+v", e)
	}
	must(a, false, 6)
	fenced(b, 1, 5) // which is where it learns so
	// The same database with a new spool is the same owner.
	again := owner(1)
	again.Spool[5] = 7
	a = logwriter.New(s, s, testName, logwriter.Options{Owner: again})
	must(a, false, 7)
	// And so is the same spool elsewhere.
	again.Database[5] = 8
	a = logwriter.New(s, s, testName, logwriter.Options{Owner: again})
	must(a, false, 8)
}

func takeSnap(data []byte, sequence uint64) *snap { return take(bytes.Clone(data), sequence) }

// TestAlternate lets two processes of the same owner append in turn.
func TestAlternate(t *testing.T) {
	for _, under := range []store.Store{mem.New(), unconditional{mem.New()}} {
		s := count(under)
		var ws []*logwriter.Writer
		for range 2 {
			ws = append(ws, logwriter.New(s, s, testName, logwriter.Options{Owner: owner(1)}))
		}
		data := random(1_000_000, 1)
		for i := range 20 {
			data[i*40_000]++
			sn := takeSnap(data, uint64(i+1))
			res, err := ws[i/2%2].Append(t.Context(), sn.m, sn)
			if err != nil || res.Entry != uint64(i+1) {
				t.Fatalf("append %d: %+v, %v", i, res, err)
			}
			if !bytes.Equal(restore(t, s.Store, res.Entry), data) {
				t.Fatalf("entry %d restores to something else", res.Entry)
			}
		}
		sn := takeSnap(data, 15)
		if _, err := ws[0].Append(t.Context(), sn.m, sn); !errors.Is(err, logwriter.ErrSuperseded) {
			t.Errorf("older than what the other appended: got %v, want %v", err, logwriter.ErrSuperseded)
		}
	}
}

// What another process of the owner has appended need not be at hand any more, though this one does not know of that entry yet.
func TestAppendedByAnother(t *testing.T) {
	s := mem.New()
	var ws []*logwriter.Writer
	for range 2 {
		ws = append(ws, logwriter.New(s, s, testName, logwriter.Options{Owner: owner(1)}))
	}
	data := random(1_000_000, 1)
	for i, w := range []int{0, 1, 0, 1} {
		data[(i+1)*100_000]++
		sn := takeSnap(data, uint64(i+1))
		if i > 0 {
			sn.only = map[manifest.Fingerprint]bool{sn.m.Chunks[(i+1)*100_000/manifest.ChunkSize]: true}
		}
		res, err := ws[w].Append(t.Context(), sn.m, sn)
		if err != nil || res.Entry != uint64(i+1) {
			t.Fatalf("append %d: %+v, %v", i, res, err)
		}
		if !bytes.Equal(restore(t, s, res.Entry), data) {
			t.Fatalf("entry %d restores to something else", res.Entry)
		}
	}
}

// A stage lets the requests of some actors happen one after the other, in an order that it is told.
type stage struct {
	mu      sync.Mutex
	cond    *sync.Cond
	waiting map[int]bool
	running int // actors that neither wait nor are done
	turn    int // the one that may go on; -1: nobody
}

func newStage(actors int) *stage {
	s := &stage{waiting: make(map[int]bool), running: actors, turn: -1}
	s.cond = sync.NewCond(&s.mu)
	return s
}

// enter waits for the turn of an actor.
func (s *stage) enter(actor int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting[actor] = true
	s.running--
	s.cond.Broadcast()
	for s.turn != actor {
		s.cond.Wait()
	}
	s.turn = -1
	delete(s.waiting, actor)
	s.running++
}

func (s *stage) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	s.cond.Broadcast()
}

// step waits until everybody waits or is done, and lets the one go on that pick chooses of those who wait, in their order.
// It returns false if all are done.
func (s *stage) step(pick func(n int) int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.running > 0 || s.turn >= 0 {
		s.cond.Wait()
	}
	var list []int
	for actor := range 8 {
		if s.waiting[actor] {
			list = append(list, actor)
		}
	}
	if len(list) == 0 {
		return false
	}
	s.turn = list[pick(len(list))]
	s.cond.Broadcast()
	return true
}

// actor is the store as one actor sees it.
func (s *stage) actor(under store.Store, n int) store.Store {
	return storefault.New(under, func(storefault.Call) storefault.Fault {
		s.enter(n)
		return storefault.Fault{}
	})
}

// interleave calls run once for every order in which choices can be made, or for so many of them: half of these are chosen at random, but always the same.
func interleave(most int, run func(pick func(n int) int)) (runs int) {
	var path, width []int
	for {
		if runs == most/2 {
			for ; runs < most; runs++ {
				run(rand.New(rand.NewPCG(uint64(runs), 1)).IntN)
			}
			return runs
		}
		i := 0
		run(func(n int) int {
			if i == len(path) {
				path, width = append(path, 0), append(width, n)
			}
			width[i] = n
			i++
			return path[i-1]
		})
		runs++
		path, width = path[:i], width[:i]
		for len(path) > 0 && path[len(path)-1] == width[len(width)-1]-1 {
			path, width = path[:len(path)-1], width[:len(width)-1]
		}
		if len(path) == 0 {
			return runs
		}
		path[len(path)-1]++
	}
}

// TestRace lets two writers append at the same time, in every order of their requests, or in thousands of them; under -short, as with the race detector, in some.
func TestRace(t *testing.T) {
	most := 1600
	if testing.Short() {
		most = 100
	}
	for _, c := range []struct {
		name         string
		same, plain  bool
		before, knew bool // there are entries before, which the first writer made
		take         bool // the second writer takes the name over
	}{
		{name: "first entry"},
		{name: "adoption", before: true},
		{name: "zombie", before: true, knew: true},
		{name: "same owner", same: true, before: true},
		{name: "same owner, both knew", same: true, before: true, knew: true},
		{name: "takeover", before: true, knew: true, take: true},
		{name: "unconditional first entry", plain: true},
		{name: "unconditional zombie", plain: true, before: true, knew: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			runs := interleave(most, func(pick func(int) int) {
				r := &race{t: t, stage: newStage(2), under: mem.New(), plain: c.plain, states: make(map[string]bool)}
				if c.plain {
					r.under = unconditional{r.under}
				}
				r.run(c.same, c.before, c.knew, c.take, pick)
			})
			t.Log(runs, "orders")
			if runs < 5 {
				t.Errorf("only %d orders", runs)
			}
		})
	}
}

type race struct {
	t      *testing.T
	stage  *stage
	under  store.Store
	plain  bool
	states map[string]bool
}

func (r *race) run(same, before, knew, take bool, pick func(int) int) {
	t := r.t
	base := random(manifest.ChunkSize+9000, 1)
	var ws [2]*logwriter.Writer
	var snaps [2]*snap
	owners := [2]remotelog.Owner{owner(1), owner(2)}
	if same {
		owners[1] = owners[0]
	}
	open := [2]bool{} // whether requests wait for their turn
	for i := range ws {
		staged := r.stage.actor(r.under, i)
		s := storefault.New(r.under, nil)
		sw := &switched{Store: s, staged: staged, on: &open[i]}
		ws[i] = logwriter.New(sw, sw, testName, logwriter.Options{Owner: owners[i], Adopt: time.Nanosecond, LatestEvery: 2})
	}
	next := uint64(1)
	send := func(i int, data []byte) (logwriter.Result, error) {
		s := takeSnap(data, next)
		next++
		r.states[string(data)] = true
		return ws[i].Append(context.Background(), s.m, s)
	}
	if before {
		w := ws[0]
		if !knew {
			w = logwriter.New(r.under, r.under, testName, logwriter.Options{Owner: owners[0]})
		}
		for range 2 {
			base[9]++
			s := takeSnap(base, next)
			next++
			r.states[string(base)] = true
			_, err := w.Append(context.Background(), s.m, s)
			check(t, err)
		}
	}
	first := len(entries(t, r.under))
	var results [2]logwriter.Result
	var errs [2]error
	var done sync.WaitGroup
	for i := range ws {
		data := bytes.Clone(base)
		data[i*manifest.ChunkSize+5] += 7
		snaps[i] = takeSnap(data, next)
		next++
		r.states[string(data)] = true
		open[i] = true
		done.Go(func() {
			defer r.stage.done()
			send := ws[i].Append
			if take && i == 1 {
				send = ws[i].Takeover
			}
			results[i], errs[i] = send(context.Background(), snaps[i].m, snaps[i])
		})
	}
	for r.stage.step(pick) {
	}
	done.Wait()
	appended := 0
	for i, err := range errs {
		switch {
		case err == nil:
			appended++
			if got := restore(t, r.under, results[i].Entry); !r.plain && !bytes.Equal(got, snaps[i].data) {
				t.Fatalf("writer %d appended entry %d, which is another one", i, results[i].Entry)
			}
		case same && errors.Is(err, logwriter.ErrSuperseded) && i == 0:
		case !same && errors.Is(err, logwriter.ErrFenced) && (!take || i == 0):
		default:
			t.Fatalf("writer %d: %v", i, err)
		}
	}
	all := entries(t, r.under)
	if appended == 0 || !r.plain && len(all) != first+appended {
		t.Fatalf("%d appended, %d entries, %d before: %v", appended, len(all), first, errs)
	}
	for i, n := range all {
		if n != uint64(i+1) || !r.states[string(restore(t, r.under, n))] {
			t.Fatalf("entry %d, at %d, restores to what nobody appended", n, i)
		}
	}
	// Afterwards, two owners can't both believe that the name is theirs.
	open = [2]bool{}
	fenced := 0
	for i := range ws {
		base[20]++
		if _, err := send(i, base); errors.Is(err, logwriter.ErrFenced) {
			fenced++
		} else if err != nil {
			t.Fatalf("writer %d afterwards: %v", i, err)
		}
	}
	if lost := errs[0] != nil || errs[1] != nil; fenced == 0 && !same && (appended == 2 || lost) {
		t.Fatalf("both go on: %v, %v", errs, results)
	}
}

// switched is a store whose requests wait for their turn once on is true. Those that a writer sends side by side wait one after the other.
type switched struct {
	store.Store
	staged store.Store
	on     *bool
	one    sync.Mutex
}

func (s *switched) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	if !*s.on {
		return s.Store.Put(ctx, key, body, cond)
	}
	s.one.Lock()
	defer s.one.Unlock()
	return s.staged.Put(ctx, key, body, cond)
}

func (s *switched) Get(ctx context.Context, key string, o *store.GetOptions) (*store.Object, error) {
	if !*s.on {
		return s.Store.Get(ctx, key, o)
	}
	s.one.Lock()
	defer s.one.Unlock()
	return s.staged.Get(ctx, key, o)
}

func (s *switched) Head(ctx context.Context, key string) (store.Info, error) {
	if !*s.on {
		return s.Store.Head(ctx, key)
	}
	s.one.Lock()
	defer s.one.Unlock()
	return s.staged.Head(ctx, key)
}
