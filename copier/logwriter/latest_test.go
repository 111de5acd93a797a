package logwriter_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// copyOf returns which entry the copy is of.
func copyOf(t *testing.T, s store.Store) uint64 {
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
	due := func(what string, want time.Duration) { // since it began; negative: never
		t.Helper()
		at := w.LatestDue()
		if got := at.Sub(began); at.IsZero() != (want < 0) || want >= 0 && got.Round(time.Millisecond) != want {
			t.Errorf("%s: due after %v (%v), want %v", what, got, at, want)
		}
	}
	refresh := func() {
		t.Helper()
		err := w.RefreshLatest(t.Context())
		if fail != (err != nil) {
			t.Fatalf("refresh: %v", err)
		}
	}
	due("before it began", -1)
	p.next()
	due("the first entry comes with its copy", -1)
	pass(400 * time.Millisecond)
	p.next()
	due("soon after it", 400*time.Millisecond)
	pass(300 * time.Millisecond)
	p.next()
	due("an entry later", 700*time.Millisecond)
	refresh()
	due("refreshed", -1)
	if n := copyOf(t, p.s); n != 3 {
		t.Errorf("the copy is of entry %d", n)
	}
	for range 6 {
		p.next()
		due("another one", 700*time.Millisecond)
		refresh()
	}
	p.next()
	due("the ninth has to wait", time.Second)
	pass(1800 * time.Millisecond)
	refresh()
	p.next()
	due("after a pause", 2500*time.Millisecond)
	fail = true
	refresh()
	due("failed", 62500*time.Millisecond)
	refresh()
	due("failed twice", 122500*time.Millisecond)
	for range 50 {
		refresh()
	}
	due("failed often", 2500*time.Millisecond+64*time.Minute)
	fail = false
	pass(time.Hour)
	refresh()
	due("works again", -1)
	pass(time.Hour)
	p.next()
	due("much later", 2500*time.Millisecond+2*time.Hour)
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
				newest := copyOf(t, p.s)
				if newest <= 3 {
					t.Fatalf("the copy is of entry %d", newest)
				}
				check(t, zombie.RefreshLatest(t.Context()))
				if n := copyOf(t, p.s); n != newest {
					t.Errorf("the copy went from entry %d to %d", newest, n)
				}
				if due := zombie.LatestDue(); !due.IsZero() {
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

// TestSlowAppendWithoutCopy loses the copy of the newest entry, or damages it, before an append that takes many minutes: it is made once, and then there is a
// copy again.
func TestSlowAppendWithoutCopy(t *testing.T) {
	for _, copied := range []string{"sound", "gone", "empty", "cut", "other"} {
		t.Run(copied, func(t *testing.T) {
			p := newPast(t, 5, time.Second)
			check(t, p.w.RefreshLatest(t.Context()))
			key := remotelog.LatestKey(testName)
			whole := object(t, p.s, key)
			switch copied {
			case "gone":
				check(t, p.s.Delete(t.Context(), key))
			case "empty":
				put(t, p.s.Store, key, nil)
			case "cut":
				put(t, p.s.Store, key, whole[:len(whole)/2])
			case "other":
				put(t, p.s.Store, key, []byte("damaged"))
			}
			packs, slow := 0, true
			s := storefault.New(p.s, func(c storefault.Call) storefault.Fault {
				if c.Verb == store.VerbPut && strings.HasPrefix(c.Key, remotelog.PackPrefix(testName)) {
					packs++
					if slow {
						p.s.clock.set(p.s.clock.Now().Add(45 * time.Second))
					}
				}
				return storefault.Fault{}
			})
			o := logwriter.Options{Owner: owner(1), Inline: -1, PackSize: 20_000, Jobs: 1, Now: p.s.clock.Now}
			p.w = logwriter.New(s, s, testName, o)
			p.next() // whether the store heeds conditions is known now
			if copied != "sound" {
				check(t, p.s.Delete(t.Context(), key))
			}
			p.s.clock.set(p.s.clock.Now().Add(10 * time.Minute))
			packs = 0
			p.d.change(100)
			res, err := p.w.Append(t.Context(), p.d.m, p.d)
			check(t, err)
			if most := int(res.Bytes/20_000) + 2; packs < 4 || packs > most {
				t.Errorf("%d packs were put, want 4 to %d", packs, most)
			}
			slow = false
			check(t, p.w.RefreshLatest(t.Context()))
			if n := copyOf(t, p.s); n != res.Entry {
				t.Errorf("the copy is of entry %d, the newest one is %d", n, res.Entry)
			}
			sound(t, p.s)
			if !bytes.Equal(restore(t, p.s, res.Entry), p.d.data) {
				t.Error("restored to other bytes")
			}
		})
	}
}

// TestDamagedCopy damages the copy, while its writer runs or before it is started: it goes on, and the copy is replaced.
func TestDamagedCopy(t *testing.T) {
	for _, again := range []bool{false, true} {
		for _, n := range []int{0, 1, 30, 100} {
			t.Run(fmt.Sprintf("again %v, %d bytes", again, n), func(t *testing.T) {
				p := newPast(t, 5, time.Second)
				check(t, p.w.RefreshLatest(t.Context()))
				key := remotelog.LatestKey(testName)
				put(t, p.s.Store, key, object(t, p.s, key)[:n])
				if again {
					p.w = p.writer()
				}
				p.s.clock.set(p.s.clock.Now().Add(10 * time.Minute))
				p.next()
				check(t, p.w.RefreshLatest(t.Context()))
				if n := copyOf(t, p.s); n != 6 && n != 7 {
					t.Errorf("the copy is of entry %d", n)
				}
				sound(t, p.s)
			})
		}
	}
}

// TestDamagedNewestEntry damages the header of the newest entry, which the copy does not have: a writer that is started then goes on behind it, from the one before.
func TestDamagedNewestEntry(t *testing.T) {
	for _, gone := range []bool{false, true} {
		t.Run(fmt.Sprint("copy gone: ", gone), func(t *testing.T) {
			p := newPast(t, 12, time.Second)
			if n := copyOf(t, p.s); n != 1 {
				t.Fatalf("the copy is of entry %d", n)
			}
			if gone {
				check(t, p.s.Delete(t.Context(), remotelog.LatestKey(testName)))
			}
			for _, n := range []uint64{11, 12} {
				b := object(t, p.s, remotelog.EntryKey(testName, n))
				b[20] ^= 1
				put(t, p.s.Store, remotelog.EntryKey(testName, n), b)
			}
			if h, err := logrep.New(p.s, p.s, testName).Head(t.Context(), nil); !errors.Is(err, remotelog.ErrCorrupt) {
				t.Fatalf("readers: %+v, %v", h, err)
			}
			p.w = p.writer()
			p.next()
			p.next()
			check(t, p.w.RefreshLatest(t.Context()))
			h, err := logrep.New(p.s, p.s, testName).Head(t.Context(), nil)
			check(t, err)
			if h.Entry.Number != 14 {
				t.Errorf("the newest entry is %d", h.Entry.Number)
			}
			if !bytes.Equal(restore(t, p.s, 14), p.d.data) {
				t.Error("restored to other bytes")
			}
			var faults []string
			_, err = logrep.New(p.s, p.s, testName).Check(t.Context(), &logrep.CheckOptions{Percent: 100}, func(f *logrep.Fault) { faults = append(faults, f.Object) })
			check(t, err)
			slices.Sort(faults)
			if want := []string{remotelog.EntryKey(testName, 11), remotelog.EntryKey(testName, 12)}; !slices.Equal(slices.Compact(faults), want) {
				t.Errorf("faults in %q, want %q", faults, want)
			}
		})
	}
}

// TestOtherLog: a log that another process of the owner has begun anew, since the bucket was emptied, has an entry in the place of each that this one knows.
func TestOtherLog(t *testing.T) {
	for _, pause := range []time.Duration{time.Second, 10 * time.Minute} {
		for others := 1; others <= 5; others++ {
			t.Run(fmt.Sprint(pause, others), func(t *testing.T) {
				p := newPast(t, 3, time.Millisecond) // the copy is of the first
				first := p.w
				for _, key := range keys(t, p.s, "") {
					check(t, p.s.Delete(t.Context(), key))
				}
				p.w = p.writer()
				for range others {
					p.next()
				}
				check(t, p.w.RefreshLatest(t.Context()))
				sound(t, p.s)
				p.s.clock.set(p.s.clock.Now().Add(pause))
				p.w = first
				lost := false
				for range 3 {
					p.next()
					err := first.RefreshLatest(t.Context())
					if err != nil && !errors.Is(err, logwriter.ErrLost) {
						t.Fatal(err)
					}
					lost = lost || err != nil
				}
				newest, d := examine(t, p.s)
				if !d.Empty() || !bytes.Equal(restore(t, p.s, newest.Entry.Number), p.d.data) {
					t.Errorf("entry %d, lost %v, damaged %+v", newest.Entry.Number, lost, d)
				}
				if pause < time.Minute && lost != (others <= 3) {
					t.Errorf("lost: %v", lost)
				}
			})
		}
	}
}

// TestOpenWithoutCopy: a bucket was emptied under a writer, which appended once more before it ended: who opens the log finds an entry that needs what is not there, and
// no copy.
func TestOpenWithoutCopy(t *testing.T) {
	p := newPast(t, 5, time.Second)
	for _, key := range keys(t, p.s, "") {
		check(t, p.s.Delete(t.Context(), key))
	}
	p.next()
	if h, d := examine(t, p.s); h.Entry.Number != 6 || d.Empty() {
		t.Fatalf("entry %d, damaged %+v", h.Entry.Number, d)
	}
	p.w = p.writer()
	p.next()
	check(t, p.w.RefreshLatest(t.Context()))
	if h, d := examine(t, p.s); h.Entry.Number != 7 || !d.Empty() || !bytes.Equal(restore(t, p.s, 7), p.d.data) {
		t.Errorf("entry %d, damaged %+v", h.Entry.Number, d)
	}
}
