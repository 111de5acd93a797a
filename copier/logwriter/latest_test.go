package logwriter_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// copied returns which entry the copy is of.
func copied(t *testing.T, s store.Store) uint64 {
	t.Helper()
	e, _, _, err := remotelog.DecodeEntry(object(t, s, remotelog.LatestKey(testName)))
	check(t, err)
	return e.Number
}

func TestLatestDue(t *testing.T) {
	p := newPast(t, 0, 0)
	fail := false
	s := storefault.New(p.s, func(c storefault.Call) storefault.Fault {
		return storefault.Fault{Fail: fail && c.Verb == store.VerbPut && c.Key == remotelog.LatestKey(testName)}
	})
	w := logwriter.New(s, s, testName, logwriter.Options{Owner: owner(1), Now: p.s.clock.Now})
	p.w = w
	began := p.s.clock.Now()
	pass := func(d time.Duration) { p.s.clock.set(p.s.clock.Now().Add(d)) }
	due := func(what string, soon, waiting time.Duration) { // since it began; negative: never
		t.Helper()
		for _, c := range []struct {
			waiting bool
			want    time.Duration
		}{{false, soon}, {true, waiting}} {
			at := w.LatestDue(c.waiting)
			if got := at.Sub(began); at.IsZero() != (c.want < 0) || c.want >= 0 && got.Round(time.Millisecond) != c.want {
				t.Errorf("%s, waiting %v: due after %v (%v), want %v", what, c.waiting, got, at, c.want)
			}
		}
	}
	refresh := func() {
		t.Helper()
		err := w.RefreshLatest(t.Context())
		if fail != (err != nil) {
			t.Fatalf("refresh: %v", err)
		}
	}
	due("before it began", -1, -1)
	p.next()
	due("the first entry comes with its copy", -1, -1)
	pass(time.Second)
	p.next()
	due("soon", 3*time.Second, time.Second)
	pass(time.Second)
	p.next()
	due("an entry later", 4*time.Second, 2*time.Second)
	refresh()
	due("refreshed", -1, -1)
	if n := copied(t, p.s); n != 3 {
		t.Errorf("the copy is of entry %d", n)
	}
	for range 6 { // with the first and the third entry that makes eight
		p.next()
		due("another one", 4*time.Second, 2*time.Second)
		refresh()
	}
	p.next()
	due("the ninth has to wait", 20*time.Second, 20*time.Second)
	pass(28 * time.Second) // 30 s
	fail = true
	refresh()
	due("failed", 90*time.Second, 90*time.Second)
	refresh()
	due("failed twice", 150*time.Second, 150*time.Second)
	for range 50 {
		refresh()
	}
	due("failed often", 30*time.Second+64*time.Minute, 30*time.Second+64*time.Minute)
	fail = false
	pass(time.Hour)
	refresh()
	due("works again", -1, -1)
	pass(time.Hour)
	p.next()
	due("much later", 30*time.Second+2*time.Hour+2*time.Second, 30*time.Second+2*time.Hour)
}

// TestRefreshAfterSleep refreshes the copy when others have appended and pruned: it must not go back.
func TestRefreshAfterSleep(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for _, other := range []byte{1, 2} {
			t.Run(fmt.Sprintf("plain %v, owner %d", plain, other), func(t *testing.T) {
				p := newPast(t, 0, 0)
				s := store.Store(p.s)
				if plain {
					s = unconditional{p.s}
				}
				zombie := logwriter.New(s, s, testName, logwriter.Options{Owner: owner(1), Now: p.s.clock.Now})
				p.w = zombie
				for range 3 {
					p.next()
				}
				overtake(p, other)
				newest := copied(t, p.s)
				if newest <= 3 {
					t.Fatalf("the copy is of entry %d", newest)
				}
				check(t, zombie.RefreshLatest(t.Context()))
				if n := copied(t, p.s); n != newest {
					t.Errorf("the copy went from entry %d to %d", newest, n)
				}
				if due := zombie.LatestDue(true); !due.IsZero() {
					t.Errorf("due again at %v", due)
				}
				sound(t, p.s)
				data := random(3*len(p.d.data)/4, 9)
				sn := take(data, 1000)
				if _, err := zombie.Append(t.Context(), sn.m, sn); (other != 1) != errors.Is(err, logwriter.ErrFenced) {
					t.Errorf("append: %v", err)
				}
			})
		}
	}
}
