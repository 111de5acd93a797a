package logwriter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// overtake appends 20 entries by another writer, and prunes all but the newest a day later: behind what others knew as the newest
// entry there is a gap.
func overtake(p *past, who byte) {
	p.t.Helper()
	p.s.clock.set(p.s.clock.Now().Add(2 * time.Hour))
	p.w = logwriter.New(p.s, p.s, testName, logwriter.Options{Owner: owner(who), Now: p.s.clock.Now})
	for range 10 {
		p.next()
	}
	p.d.snap = take(random(len(p.d.data), 77), p.d.m.Sequence+1) // nothing needs the entries so far any more
	for range 10 {
		p.next()
	}
	p.s.clock.set(p.s.clock.Now().Add(25 * time.Hour))
	p.prune(logwriter.Policy{Last: 1})
}

// TestGap lets a writer sleep, at different times, while others append and prune: it must not put its entry where nobody looks.
func TestGap(t *testing.T) {
	for _, c := range []struct {
		name   string
		key    string // of the put before which it sleeps; empty: before it begins
		other  byte
		inline int
		want   error
	}{
		{"idle, same owner", "", 1, 0, nil},
		{"idle, another owner", "", 2, 0, logwriter.ErrFenced},
		{"during a long upload, same owner", remotelog.PackPrefix(testName), 1, -1, nil},
		{"during a long upload, another owner", remotelog.PackPrefix(testName), 2, -1, logwriter.ErrFenced},
		{"right before the put, same owner", remotelog.EntryKey(testName, 6), 1, 0, nil},
		{"right before the put, another owner", remotelog.EntryKey(testName, 6), 2, 0, logwriter.ErrFenced},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPast(t, 0, 0)
			asleep := false
			s := storefault.New(p.s, func(call storefault.Call) storefault.Fault {
				if asleep && c.key != "" && call.Verb == store.VerbPut && bytes.HasPrefix([]byte(call.Key), []byte(c.key)) {
					asleep = false
					overtake(p, c.other)
				}
				return storefault.Fault{}
			})
			sleeper := logwriter.New(s, s, testName, logwriter.Options{Owner: owner(1), Inline: c.inline, Now: p.s.clock.Now})
			p.w = sleeper
			for range 5 {
				p.next()
			}
			asleep = true
			if c.key == "" {
				overtake(p, c.other)
			}
			// It has something newer than what the others appended.
			data := bytes.Clone(p.d.data)
			data[100_000]++
			sn := take(data, 1000)
			res, err := sleeper.Append(t.Context(), sn.m, sn)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if asleep && c.key != "" {
				t.Fatal("it never slept")
			}
			p.states[26] = data
			want := []uint64{25}
			if err == nil {
				want = append(want, 26)
			}
			if got := p.points(); len(got) != len(want) || got[0] != 25 || err == nil && res.Entry != 26 {
				t.Errorf("entries %v, want %v; %+v", got, want, res)
			}
		})
	}
}

// slow is a store that carries out the puts of one key, and then lets time pass.
type slow struct {
	store.Store
	key  string
	then func()
}

func (s *slow) Put(ctx context.Context, key string, body []byte, c store.Condition) (store.Info, error) {
	info, err := s.Store.Put(ctx, key, body, c)
	if then := s.then; key == s.key && then != nil {
		s.then = nil
		then()
	}
	return info, err
}

// TestSlowPut gets the answer to a put late, when others have appended what needs the entry: it must not be taken for one in a gap, nor removed.
func TestSlowPut(t *testing.T) {
	for _, c := range []struct {
		name  string
		other byte
		prune bool
	}{{"same owner", 1, false}, {"another owner", 2, false}, {"same owner, pruned", 1, true}, {"another owner, pruned", 2, true}} {
		t.Run(c.name, func(t *testing.T) {
			p := newPast(t, 0, 0)
			s := &slow{Store: p.s, key: remotelog.EntryKey(testName, 6)}
			w := logwriter.New(s, s, testName, logwriter.Options{Owner: owner(1), Now: p.s.clock.Now})
			p.w = w
			for range 5 {
				p.next()
			}
			p.d.change(6)
			mine := bytes.Clone(p.d.data)
			s.then = func() {
				p.states[6] = mine
				p.s.clock.set(p.s.clock.Now().Add(2 * time.Minute))
				p.w = logwriter.New(p.s, p.s, testName, logwriter.Options{Owner: owner(c.other), Now: p.s.clock.Now})
				p.next()
				check(t, p.w.RefreshLatest(t.Context()))
				if c.prune {
					p.once(logwriter.Policy{Last: 1})
				}
			}
			m := p.d.m
			if _, err := w.Append(t.Context(), m, take(mine, m.Sequence)); err != nil && !errors.Is(err, logwriter.ErrFenced) && !errors.Is(err, logwriter.ErrSuperseded) {
				t.Errorf("got %v", err)
			}
			if s.then != nil {
				t.Fatal("it was never slow")
			}
			p.points()
			sound(t, p.s)
		})
	}
}

// TestSure counts what it costs to be sure after a pause, and to close.
func TestSure(t *testing.T) {
	p := newPast(t, 3, time.Second)
	s := count(p.s)
	w := logwriter.New(s, s, testName, logwriter.Options{Owner: owner(1), Now: p.s.clock.Now})
	p.w = w
	p.next()
	p.next()
	for _, c := range []struct {
		pause time.Duration
		gets  int
	}{{time.Second, 0}, {59 * time.Second, 0}, {60 * time.Second, 2}, {time.Hour, 2}, {0, 0}, {-time.Second, 2}, {time.Second, 0}} {
		p.s.clock.set(p.s.clock.Now().Add(c.pause))
		s.reset()
		p.next()
		if s.verbs[store.VerbGet] != c.gets || s.verbs[store.VerbPut] != 1 {
			t.Errorf("after %v: %v, want %d gets", c.pause, s.verbs, c.gets)
		}
	}
	// Another process goes on and refreshes the copy of the newest entry. The first one must not put back its own when it closes.
	overtake(p, 1)
	check(t, w.RefreshLatest(t.Context()))
	if e, _, _, err := remotelog.DecodeEntry(object(t, p.s, remotelog.LatestKey(testName))); err != nil || e.Number != uint64(len(p.states)) {
		t.Errorf("the copy is that of entry %d, want %d, %v", e.Number, len(p.states), err)
	}
}

// TestCloseInPlainStore: also where the store has no conditions, who closes does not put back what others have refreshed.
func TestCloseInPlainStore(t *testing.T) {
	p := newPast(t, 0, 0)
	s := unconditional{p.s}
	w := logwriter.New(s, s, testName, logwriter.Options{Owner: owner(1), Now: p.s.clock.Now})
	p.w = w
	for range 3 {
		p.next()
	}
	overtake(p, 1)
	check(t, w.RefreshLatest(t.Context()))
	if e, _, _, err := remotelog.DecodeEntry(object(t, p.s, remotelog.LatestKey(testName))); err != nil || e.Number != uint64(len(p.states)) {
		t.Errorf("the copy is that of entry %d, want %d, %v", e.Number, len(p.states), err)
	}
}

// TestLateCopy lets the put of a copy of the newest entry arrive when others have appended and pruned. Where the store can tell it fails; where
// not, the list of pruned entries shows everybody that it is late, and the next one that is put is right again.
func TestLateCopy(t *testing.T) {
	latest := remotelog.LatestKey(testName)
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprint("plain:", plain), func(t *testing.T) {
			p := newPast(t, 0, 0)
			under := store.Store(p.s)
			if plain {
				under = unconditional{p.s}
			}
			late := false
			s := storefault.New(under, func(call storefault.Call) storefault.Fault {
				if late && call.Verb == store.VerbPut && call.Key == latest {
					late = false
					overtake(p, 2)
				}
				return storefault.Fault{}
			})
			zombie := logwriter.New(s, s, testName, logwriter.Options{Owner: owner(1), LatestEvery: 4, Now: p.s.clock.Now})
			p.w = zombie
			for i := range 5 {
				late = i == 4
				p.next()
			}
			if late {
				t.Fatal("no copy was put")
			}
			e, _, _, err := remotelog.DecodeEntry(object(t, p.s, latest))
			if check(t, err); (e.Number == 5) != plain {
				t.Errorf("the copy is that of entry %d", e.Number)
			}
			var faults []string
			_, err = logrep.New(p.s, p.s, testName).Check(t.Context(), nil, func(f *logrep.Fault) { faults = append(faults, f.Object) })
			check(t, err)
			if want := []string{latest}; plain != slices.Equal(faults, want) || !plain && len(faults) > 0 {
				t.Errorf("faults in %v", faults)
			}
			newest := p.points()
			if len(newest) != 1 || newest[0] != 25 {
				t.Fatalf("recovery points %v", newest)
			}
			h, err := logrep.New(p.s, p.s, testName).Head(t.Context(), nil)
			if check(t, err); h.Entry.Number != 25 {
				t.Errorf("the newest entry is %d", h.Entry.Number)
			}
			// The zombie, and another process of its owner, are fenced; the other writer is not, nor who prunes.
			data := bytes.Clone(p.d.data)
			data[100_000]++
			sn := take(data, 1000)
			again := logwriter.New(under, under, testName, logwriter.Options{Owner: owner(1), Adopt: -1, Now: p.s.clock.Now})
			for _, w := range []*logwriter.Writer{zombie, again} {
				if _, err := w.Append(t.Context(), sn.m, sn); !errors.Is(err, logwriter.ErrFenced) {
					t.Errorf("the zombie: %v", err)
				}
			}
			p.w = logwriter.New(under, under, testName, logwriter.Options{Owner: owner(2), Now: p.s.clock.Now})
			p.next()
			p.prune(logwriter.Policy{Last: 1})
			check(t, p.w.RefreshLatest(t.Context()))
			if got := p.points(); !slices.Equal(got, []uint64{26}) {
				t.Errorf("recovery points %v", got)
			}
			sound(t, p.s)
		})
	}
}
