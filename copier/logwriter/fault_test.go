package logwriter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

// script is what the fault loops append: it has a first entry in packs, small ones, an index block that is stored anew, and a
// copy of the newest entry that is refreshed.
func script() [][]byte {
	data := random(24*manifest.ChunkSize, 1)
	states := [][]byte{bytes.Clone(data)}
	for i := range 4 {
		for k := range 5 {
			data[(4*k+i)*manifest.ChunkSize+1000*i]++
		}
		states = append(states, bytes.Clone(data))
	}
	data = append(data, random(6*manifest.ChunkSize, 2)...)
	return append(states, bytes.Clone(data))
}

func faultOptions() logwriter.Options {
	return logwriter.Options{Owner: owner(1), Inline: 300_000, PackSize: 500_000, Jobs: 1, LatestEvery: 2}
}

// verify checks that every entry restores to a state that was appended.
func verify(t *testing.T, s store.Store, states [][]byte) {
	t.Helper()
	for i, n := range entries(t, s) {
		if n != uint64(i+1) {
			t.Fatalf("entry %d follows %d", n, i)
		}
		e, _ := entryOf(t, s, n)
		if !bytes.Equal(restore(t, s, n), states[e.Sequence-1]) {
			t.Fatalf("entry %d restores to something else than state %d", n, e.Sequence)
		}
	}
	sound(t, s)
}

// sound checks all entries as readers do.
func sound(t testing.TB, s store.Store) {
	t.Helper()
	_, err := logrep.New(s, s, testName).Check(context.Background(), &logrep.CheckOptions{Percent: 100},
		func(f *logrep.Fault) { t.Errorf("%s: %v", f.Object, f) })
	check(t, err)
}

// TestFaults lets the i-th request fail, for each i, in each way, and checks that the next append succeeds.
func TestFaults(t *testing.T) {
	states := script()
	for name, f := range map[string]storefault.Fault{
		"fail":    {Fail: true},
		"lost":    {Lost: true},
		"unknown": {Fail: true, Err: store.ErrUnknownOutcome},
		"error":   {Lost: true, Err: errors.New("connection reset")},
		"broken":  {After: 10},
	} {
		t.Run(name, func(t *testing.T) {
			for i := 0; ; i++ {
				s := storefault.New(mem.New(), storefault.Nth(i, f))
				w := logwriter.New(s, s, testName, faultOptions())
				failures := 0
				for k, data := range states {
					sn := take(data, uint64(k+1))
					res, err := w.Append(t.Context(), sn.m, sn)
					if err != nil {
						failures++
						res, err = w.Append(t.Context(), sn.m, sn)
					}
					if err != nil {
						t.Fatalf("request %d, state %d: again: %v", i, k, err)
					}
					if got := restore(t, s.Unwrap(), res.Entry); !bytes.Equal(got, data) {
						t.Fatalf("request %d, state %d: entry %d restores to something else", i, k, res.Entry)
					}
				}
				clean := len(s.Calls()) <= i
				verify(t, s.Unwrap(), states)
				if n := len(entries(t, s.Unwrap())); failures > 1 || n != len(states) {
					t.Fatalf("request %d: %d failures, %d entries of %d states", i, failures, n, len(states))
				}
				if clean {
					if i < 15 {
						t.Errorf("only %d requests", i)
					}
					return
				}
			}
		})
	}
}

// TestCrash lets all requests from the i-th on fail, the first of them after it was carried out or before, and checks that a new writer
// goes on.
func TestCrash(t *testing.T) {
	states := script()
	for _, lost := range []bool{false, true} {
		for i := 0; ; i++ {
			s := storefault.New(mem.New(), func(c storefault.Call) storefault.Fault {
				return storefault.Fault{Fail: c.N > i || c.N == i && !lost, Lost: c.N == i && lost}
			})
			w := logwriter.New(s, s, testName, faultOptions())
			k := 0
			for ; k < len(states); k++ {
				sn := take(states[k], uint64(k+1))
				if _, err := w.Append(t.Context(), sn.m, sn); err != nil {
					break
				}
			}
			crashed := len(s.Calls()) > i
			s.SetPlan(nil)
			w = logwriter.New(s, s, testName, faultOptions())
			for ; k < len(states); k++ {
				sn := take(states[k], uint64(k+1))
				if _, err := w.Append(t.Context(), sn.m, sn); err != nil {
					t.Fatalf("crash at request %d, state %d: %v", i, k, err)
				}
			}
			verify(t, s.Unwrap(), states)
			if n := len(entries(t, s.Unwrap())); n != len(states) {
				t.Fatalf("crash at request %d: %d entries of %d states", i, n, len(states))
			}
			if !crashed {
				break
			}
		}
	}
}

// TestLostReply counts what it costs to find out what became of a put.
func TestLostReply(t *testing.T) {
	r := newRig(t, logwriter.Options{})
	faults := storefault.New(r.s, nil)
	r.w = logwriter.New(faults, faults, testName, logwriter.Options{Owner: owner(1)})
	data := random(300_000, 1)
	r.append(data)
	data[0]++
	r.append(data) // and the probe
	for _, f := range []struct {
		name        string
		fault       storefault.Fault
		fails       bool
		first, then int // requests
	}{
		{"carried out", storefault.Fault{Lost: true}, false, 2, 0},
		{"not carried out", storefault.Fault{Fail: true, Err: store.ErrUnknownOutcome}, true, 2, 4},
	} {
		data[70_000]++
		r.n++
		sn := takeSnap(data, r.n)
		faults.SetPlan(storefault.Nth(0, f.fault))
		r.s.reset()
		_, err := r.w.Append(t.Context(), sn.m, sn)
		if (err != nil) != f.fails || f.fails && !errors.Is(err, store.ErrUnknownOutcome) {
			t.Errorf("%s: got %v", f.name, err)
		}
		if n := len(faults.Calls()); n != f.first {
			t.Errorf("%s: %d requests, want %d", f.name, n, f.first)
		}
		faults.SetPlan(nil)
		if _, err := r.w.Append(t.Context(), sn.m, sn); err != nil {
			t.Errorf("%s: again: %v", f.name, err)
		}
		if n := len(faults.Calls()); n != f.then {
			t.Errorf("%s: again: %d requests, want %d", f.name, n, f.then)
		}
	}
}

// TestCopyIsRefreshed: if the first copy of the newest entry can't be put, the next entry comes with one.
func TestCopyIsRefreshed(t *testing.T) {
	r := newRig(t, logwriter.Options{})
	latest := remotelog.LatestKey(testName)
	fail := true
	faults := storefault.New(r.s, func(c storefault.Call) storefault.Fault {
		return storefault.Fault{Fail: fail && c.Key == latest && c.Verb == store.VerbPut}
	})
	r.w = logwriter.New(faults, faults, testName, logwriter.Options{Owner: owner(1)})
	data := random(300_000, 1)
	r.append(data)
	if _, err := r.s.Head(t.Context(), latest); !store.IsNotExist(err) {
		t.Fatalf("the copy: %v", err)
	}
	fail = false
	data[0]++
	r.append(data)
	if e, _, _, err := remotelog.DecodeEntry(object(t, r.s, latest)); err != nil || e.Number != 2 {
		t.Errorf("the copy: %+v, %v", e, err)
	}
	sound(t, r.s)
}

// TestCopyIsRepaired: a damaged copy is replaced by the first entry, too.
func TestCopyIsRepaired(t *testing.T) {
	r := newRig(t, logwriter.Options{})
	latest := remotelog.LatestKey(testName)
	put(t, r.s, latest, []byte("damaged"))
	r.append(random(300_000, 1))
	if e, _, _, err := remotelog.DecodeEntry(object(t, r.s, latest)); err != nil || e.Number != 1 {
		t.Errorf("the copy: %+v, %v", e, err)
	}
	sound(t, r.s)
}

// A refusing store fails all puts that have to match something.
type refusing struct{ store.Store }

func (s refusing) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	if cond.IfMatch != "" {
		return store.Info{}, store.ErrPrecondition
	}
	return s.Store.Put(ctx, key, body, cond)
}

// TestCopyInRefusingStore: the copy is refreshed, too, where a server refuses every ETag, as one does whose own has other quotes.
func TestCopyInRefusingStore(t *testing.T) {
	r := newRig(t, logwriter.Options{})
	s := refusing{r.s}
	r.w = logwriter.New(s, s, testName, logwriter.Options{Owner: owner(1), LatestEvery: 1})
	data := random(300_000, 1)
	for range 3 {
		data[0]++
		r.append(data)
	}
	if e, _, _, err := remotelog.DecodeEntry(object(t, r.s, remotelog.LatestKey(testName))); err != nil || e.Number != 3 {
		t.Errorf("the copy: %+v, %v", e, err)
	}
}

// TestDelayed lets a put be carried out only after its writer has given up on it.
func TestDelayed(t *testing.T) {
	under := mem.New()
	d := &delaying{Store: under}
	w := logwriter.New(d, d, testName, logwriter.Options{Owner: owner(1)})
	data := random(300_000, 1)
	for i := range 6 {
		data[i*50_000]++
		sn := takeSnap(data, uint64(i+1))
		d.next = i == 3
		_, err := w.Append(t.Context(), sn.m, sn)
		if (err != nil) != (i == 3) {
			t.Fatalf("append %d: %v", i, err)
		}
		if i == 3 {
			check(t, d.late())
		}
	}
	// The late one is there, and the one behind it knew.
	if got := entries(t, under); len(got) != 6 {
		t.Errorf("entries: %v", got)
	}
	for _, n := range entries(t, under) {
		restore(t, under, n)
	}
	if !bytes.Equal(restore(t, under, 6), data) {
		t.Error("the newest restores to something else")
	}
}

// delaying is a store that keeps back a put of an entry.
type delaying struct {
	store.Store
	next bool
	late func() error
}

func (d *delaying) Put(ctx context.Context, key string, body []byte, c store.Condition) (store.Info, error) {
	if !d.next || !c.IfAbsent {
		return d.Store.Put(ctx, key, body, c)
	}
	d.next = false
	body = bytes.Clone(body)
	d.late = func() error {
		_, err := d.Store.Put(context.Background(), key, body, c)
		return err
	}
	return store.Info{}, fmt.Errorf("no reply: %w", store.ErrUnknownOutcome)
}

// TestCancelled checks that nothing is put once the context is done, and that the next append is as any other.
func TestCancelled(t *testing.T) {
	r := newRig(t, logwriter.Options{Inline: -1, PackSize: 100_000})
	data := random(2_000_000, 1)
	r.append(data)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	data[9]++
	sn := takeSnap(data, 2)
	r.s.reset()
	if _, err := r.w.Append(ctx, sn.m, sn); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if got := entries(t, r.s); len(got) != 1 {
		t.Errorf("entries: %v", got)
	}
	r.append(data)
}
