package logwriter_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zeebo/xxh3"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

func TestPolicy(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse("2006-01-02 15:04", s)
		check(t, err)
		return v
	}
	var points []logwriter.Point
	for i, s := range []string{
		"2025-12-31 23:00", "2026-01-01 00:30", "2026-01-04 12:00", "2026-01-05 12:00", "2026-01-31 08:00",
		"2026-02-01 08:00", "2026-02-01 08:59", "2026-02-01 09:00", "2026-02-02 09:10", "2026-02-02 09:20",
	} {
		points = append(points, logwriter.Point{Entry: uint64(i + 1), Time: at(s)})
	}
	for _, c := range []struct {
		name   string
		policy logwriter.Policy
		want   string
	}{
		{"nothing said", logwriter.Policy{}, "10 9 8 7 6 5 4 3 2 1"},
		{"last", logwriter.Policy{Last: 2}, "10 9"},
		{"last of more", logwriter.Policy{Last: 20}, "10 9 8 7 6 5 4 3 2 1"},
		{"all", logwriter.Policy{Last: -1}, "10 9 8 7 6 5 4 3 2 1"},
		{"within", logwriter.Policy{Within: 24*time.Hour + 21*time.Minute}, "10 9 8"},
		{"within nothing", logwriter.Policy{Within: time.Nanosecond}, "10"},
		{"hourly", logwriter.Policy{Hourly: 3}, "10 8 7"},
		{"daily", logwriter.Policy{Daily: 3}, "10 8 5"},
		{"daily, all", logwriter.Policy{Daily: -1}, "10 8 5 4 3 2 1"},
		{"weekly", logwriter.Policy{Weekly: 3}, "10 8 4"},
		{"weekly across the year", logwriter.Policy{Weekly: -1}, "10 8 4 3"},
		{"monthly", logwriter.Policy{Monthly: 2}, "10 5"},
		{"yearly", logwriter.Policy{Yearly: 5}, "10 1"},
		{"together", logwriter.Policy{Last: 1, Daily: 2, Yearly: 2}, "10 8 1"},
	} {
		kept, others := c.policy.Apply(points)
		var got []string
		for _, k := range kept {
			got = append(got, fmt.Sprint(k.Entry))
		}
		if s := strings.Join(got, " "); s != c.want || len(kept)+len(others) != len(points) {
			t.Errorf("%s: kept %s, want %s; others %v", c.name, s, c.want, others)
		}
	}
	kept, _ := logwriter.Policy{Last: 1, Daily: 2, Yearly: 2}.Apply(points)
	if d := cmp.Diff([]string{"last", "daily", "yearly"}, kept[0].Reasons); d != "" {
		t.Errorf("reasons (- want, + got):\n%s", d)
	}
}

// dated is a store whose objects have the time of a clock.
type dated struct {
	store.Store
	clock *clock
	mu    sync.Mutex
	times map[string]time.Time
}

func newDated() *dated {
	return &dated{Store: mem.New(), clock: &clock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}, times: make(map[string]time.Time)}
}

func (s *dated) date(info store.Info) store.Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	info.ModTime = s.times[info.Key]
	return info
}

func (s *dated) Put(ctx context.Context, key string, body []byte, c store.Condition) (store.Info, error) {
	info, err := s.Store.Put(ctx, key, body, c)
	if err == nil {
		s.mu.Lock()
		s.times[key] = s.clock.Now()
		s.mu.Unlock()
	}
	return s.date(info), err
}

func (s *dated) Get(ctx context.Context, key string, o *store.GetOptions) (*store.Object, error) {
	obj, err := s.Store.Get(ctx, key, o)
	if err == nil {
		obj.Info = s.date(obj.Info)
	}
	return obj, err
}

func (s *dated) Head(ctx context.Context, key string) (store.Info, error) {
	info, err := s.Store.Head(ctx, key)
	if err != nil {
		return info, err
	}
	return s.date(info), nil
}

func (s *dated) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		for info, err := range s.Store.List(ctx, prefix) {
			if !yield(s.date(info), err) {
				return
			}
		}
	}
}

// past is a log with a history.
type past struct {
	t      *testing.T
	s      *dated
	w      *logwriter.Writer
	d      *changing
	states map[uint64][]byte
	o      logwriter.PruneOptions
}

// newPast appends so many states, one each time that step has passed, and compacts now and then.
func newPast(t *testing.T, n int, step time.Duration) *past {
	t.Helper()
	p := &past{t: t, s: newDated(), states: make(map[uint64][]byte)}
	p.o.Now = p.s.clock.Now
	p.w = p.writer()
	p.d = newChanging(random(12*manifest.ChunkSize, 1), 2)
	for i := range n {
		p.next()
		if i%20 == 19 {
			p.compact()
		}
		p.s.clock.set(p.s.clock.Now().Add(step))
	}
	return p
}

func (p *past) writer() *logwriter.Writer {
	return logwriter.New(p.s, p.s, testName, logwriter.Options{
		Owner: owner(1), Inline: 30_000, PackSize: 200_000, Jobs: 1, Now: p.s.clock.Now,
	})
}

// next appends a state.
func (p *past) next() {
	p.t.Helper()
	p.d.change(6)
	res, err := p.w.Append(p.t.Context(), p.d.m, p.d)
	check(p.t, err)
	p.states[res.Entry] = bytes.Clone(p.d.data)
}

func (p *past) compact() {
	p.t.Helper()
	res, err := p.w.Compact(p.t.Context(), logwriter.Budget{})
	check(p.t, err)
	p.states[res.Entry] = bytes.Clone(p.d.data)
}

// points returns the recovery points, each of which must restore to what was appended.
func (p *past) points() (list []uint64) {
	p.t.Helper()
	pruned := p.pruned()
	for _, n := range entries(p.t, p.s) {
		if pruned.Has(n) {
			continue
		}
		list = append(list, n)
		if !bytes.Equal(restore(p.t, p.s, n), p.states[n]) {
			p.t.Fatalf("entry %d restores to something else", n)
		}
	}
	var history []uint64
	for point, err := range logrep.New(p.s, p.s, testName).History(p.t.Context()) {
		check(p.t, err)
		history = append(history, point.Entry)
	}
	if !slices.Equal(history, list) {
		p.t.Fatalf("history: %v, want %v", history, list)
	}
	return list
}

// newGarbage is a log of which a prune has found garbage a grace ago.
func newGarbage(t *testing.T) *past {
	t.Helper()
	p := newPast(t, 45, 2*time.Hour)
	p.o.Grace, p.o.Jobs = time.Hour, 1
	p.once(logwriter.Policy{Last: 30})
	p.pass()
	return p
}

// once prunes one time, which removes only what was found before.
func (p *past) once(policy logwriter.Policy) logwriter.PruneReport {
	p.t.Helper()
	r, err := logwriter.Prune(p.t.Context(), p.s, p.s, testName, policy, p.o)
	check(p.t, err)
	return r
}

// prune prunes, and once more when the grace has passed. The report is of both.
func (p *past) prune(policy logwriter.Policy) logwriter.PruneReport {
	p.t.Helper()
	first := p.once(policy)
	p.pass()
	r := p.once(policy)
	if len(r.Pruned) > 0 {
		p.t.Errorf("pruned at the second time: %v", r.Pruned)
	}
	r.Pruned = first.Pruned
	r.RemovedEntries += first.RemovedEntries
	r.RemovedPacks += first.RemovedPacks
	return r
}

// pruneTwice prunes a log in a store that has the time of this machine, and again as if a day had passed.
func pruneTwice(t *testing.T, s store.Store, policy logwriter.Policy) (r logwriter.PruneReport) {
	t.Helper()
	for _, by := range []time.Duration{0, 24 * time.Hour} {
		later := ahead{s, by}
		var err error
		r, err = logwriter.Prune(t.Context(), later, later, testName, policy, logwriter.PruneOptions{Now: func() time.Time { return time.Now().Add(by) }})
		check(t, err)
	}
	return r
}

// ahead is a store whose clock is ahead now, but was not when its objects were put.
type ahead struct {
	store.Store
	by time.Duration
}

func (s ahead) Head(ctx context.Context, key string) (store.Info, error) {
	info, err := s.Store.Head(ctx, key)
	info.ModTime = info.ModTime.Add(s.by)
	return info, err
}

// sampled is how many cases are left out after each when there is little time, as under the race detector.
func sampled(n int) int {
	if testing.Short() {
		return n
	}
	return 0
}

// pass lets the grace pass.
func (p *past) pass() {
	grace := p.o.Grace
	if grace == 0 {
		grace = logwriter.DefaultGrace
	}
	p.s.clock.set(p.s.clock.Now().Add(grace))
}

func numbers(kept []logwriter.Kept) (list []uint64) {
	for _, k := range kept {
		list = append(list, k.Entry)
	}
	slices.Sort(list)
	return list
}

func (p *past) size() (objects int, bytes int64) {
	p.t.Helper()
	for info, err := range p.s.List(p.t.Context(), "") {
		check(p.t, err)
		objects++
		bytes += info.Size
	}
	return objects, bytes
}

func TestPrune(t *testing.T) {
	p := newPast(t, 200, 3*time.Hour)
	p.s.clock.set(p.s.clock.Now().Add(48 * time.Hour))
	objects, size := p.size()
	all := p.points()
	policy := logwriter.Policy{Last: 3, Daily: 5, Weekly: 2}

	once := func() logwriter.PruneReport {
		t.Helper()
		before := contents(t, p.s)
		p.o.DryRun = true
		dry := p.once(policy)
		if !maps.Equal(before, contents(t, p.s)) {
			t.Errorf("a dry run changed something")
		}
		p.o.DryRun = false
		r := p.once(policy)
		if dry.Done = true; !r.Done {
			t.Error("it is not done")
		}
		if d := cmp.Diff(dry, r); d != "" {
			t.Errorf("what was done differs from what was said (- said, + done):\n%s", d)
		}
		return r
	}
	first := once()
	if o, _ := p.size(); o != objects+2 || first.RemovedEntries+first.RemovedPacks != 0 || !first.Next.Equal(p.s.clock.Now().Add(logwriter.DefaultGrace)) {
		t.Errorf("%d objects of %d are left: %+v", o, objects, first)
	}
	if got := p.points(); !slices.Equal(got, numbers(first.Kept)) {
		t.Errorf("recovery points: got %v, want %v", got, first.Kept)
	}
	sound(t, p.s)
	p.pass()
	r := once()
	if r.RemovedEntries+r.RemovedPacks != first.Waiting || r.RemovedBytes != first.WaitingBytes || r.Waiting != 0 || len(r.Pruned) != 0 || !r.Next.IsZero() {
		t.Errorf("first %+v, then %+v", first, r)
	}
	want := numbers(r.Kept)
	if got := p.points(); !slices.Equal(got, want) || len(got) < 7 || len(got) > 9 {
		t.Errorf("recovery points: got %v, want %v", got, want)
	}
	if len(first.Pruned) != len(all)-len(want) || r.Newest != all[len(all)-1] {
		t.Errorf("report: %+v, %+v", first, r)
	}
	left, leftSize := p.size()
	t.Logf("%d objects of %.1f MB before, %d of %.1f MB after, of which %d entries for the sake of their frames",
		objects, float64(size)/1e6, left, float64(leftSize)/1e6, r.Carried)
	if r.RemovedEntries == 0 || r.RemovedPacks == 0 || r.Carried == 0 || leftSize > size*2/3 ||
		r.LeftEntries+r.LeftPacks+r.RemovedEntries+r.RemovedPacks != objects-1 || r.LeftEntries+r.LeftPacks != left-3 {
		t.Errorf("%d objects of %d bytes are left of %d of %d: %+v", left, leftSize, objects, size, r)
	}

	sound(t, p.s)

	// Who asks for a time gets the recovery point before it, though there are entries in between.
	log := logrep.New(p.s, p.s, testName)
	var before uint64
	var at time.Time
	for _, n := range want {
		e, _ := entryOf(t, p.s, n)
		if before > 0 && !e.Appended.Equal(at) {
			h, err := log.At(t.Context(), e.Appended.Add(-time.Second))
			if check(t, err); h.Entry.Number != before {
				t.Errorf("right before entry %d there is %d, want %d", n, h.Entry.Number, before)
			}
		}
		before, at = n, e.Appended
	}
	if _, err := log.At(t.Context(), p.s.clock.Now().Add(-10_000*time.Hour)); !errors.Is(err, logrep.ErrNotFound) {
		t.Errorf("before all: %v", err)
	}

	// Again there is nothing to do, and the writer goes on, and a new one.
	if r = once(); r.RemovedEntries+r.RemovedPacks+len(r.Pruned)+r.Waiting != 0 {
		t.Errorf("again: %+v", r)
	}
	for range 3 {
		p.next()
	}
	p.w = p.writer()
	for range 20 {
		p.next()
	}
	p.compact()
	p.s.clock.set(p.s.clock.Now().Add(48 * time.Hour))
	points := len(p.points())
	r = p.prune(logwriter.Policy{Last: 1})
	if got := p.points(); len(got) != 1 || len(r.Pruned) != points-1 {
		t.Errorf("only the newest: %v is left, %+v", got, r)
	}
	// What the newest needs is all that is left, within what compaction promises.
	_, leftSize = p.size()
	if _, needed, _ := footprint(t, p.s, r.Newest); leftSize > needed+200_000 {
		t.Errorf("%d bytes are left, of which %d are needed", leftSize, needed)
	}
}

// TestPruneLost: entries that are lost are not taken for pruned ones, until those around them go.
func TestPruneLost(t *testing.T) {
	p := newPast(t, 60, time.Hour)
	p.s.clock.set(p.s.clock.Now().Add(48 * time.Hour))
	r := p.prune(logwriter.Policy{Last: 50})
	last := r.Pruned[len(r.Pruned)-1]
	kept := numbers(r.Kept)
	lost := []uint64{1, last + 1, kept[10], kept[11], kept[20]}
	gone := func() (gone []string) {
		t.Helper()
		_, err := logrep.New(p.s, p.s, testName).Check(t.Context(), nil, func(f *logrep.Fault) {
			if n, ok := remotelog.ParseEntryKey(testName, f.Object); ok && strings.Contains(f.Error(), "not for being pruned") {
				gone = append(gone, fmt.Sprint(n))
			}
		})
		check(t, err)
		return gone
	}
	if got := gone(); len(got) > 0 {
		t.Fatalf("before, entries %v are missed", got)
	}
	for _, n := range lost {
		put(t, p.s.Store, remotelog.EntryKey(testName, n), nil)
	}
	if got, want := gone(), []string{fmt.Sprint(last + 1), fmt.Sprint(kept[10]), fmt.Sprint(kept[20])}; !slices.Equal(got, want) {
		t.Errorf("entries %v are missed, want %v", got, want) // the first is pruned, the fourth told with the third
	}
	for _, c := range []struct {
		last int
		want []string
	}{{35, []string{fmt.Sprint(kept[20])}}, {29, []string{fmt.Sprint(kept[20])}}, {10, nil}} { // 29 are behind it
		p.prune(logwriter.Policy{Last: c.last})
		if got := gone(); !slices.Equal(got, c.want) {
			t.Errorf("only %d are kept: entries %v are missed, want %v", c.last, got, c.want)
		}
	}
}

// TestPruneOldList goes on from a list of the first version, which does not have what was removed.
func TestPruneOldList(t *testing.T) {
	p := newPast(t, 60, time.Hour)
	p.s.clock.set(p.s.clock.Now().Add(48 * time.Hour))
	p.prune(logwriter.Policy{Last: 30})
	pruned := p.pruned()
	b, _ := remotelog.NameSum(testName).AppendBinary([]byte("boulegon\x01"))
	var steps []byte
	count, before := 0, uint64(0)
	for _, n := range entries(t, p.s) {
		if pruned.Has(n) {
			steps = append(steps, byte(n-before))
			before = n
			count++
		}
	}
	b = append(append(b, byte(count)), steps...)
	put(t, p.s.Store, remotelog.PrunedKey(testName), binary.BigEndian.AppendUint64(b, xxh3.Hash(b)))
	put(t, p.s.Store, remotelog.GarbageKey(testName), nil)
	all := p.points()
	if len(all) != 30 || before < 3 {
		t.Fatalf("%d recovery points, %d was pruned", len(all), before)
	}
	sound(t, p.s)
	p.prune(logwriter.Policy{Last: 20})
	if got := p.points(); !slices.Equal(got, all[10:]) {
		t.Errorf("recovery points %v of %v", got, all)
	}
	sound(t, p.s)
	// What is lost from then on is missed.
	newest := all[len(all)-1]
	for range 3 {
		p.next()
	}
	check(t, p.w.RefreshLatest(t.Context()))
	put(t, p.s.Store, remotelog.EntryKey(testName, newest+2), nil)
	pruned = p.pruned()
	if got, want := pruned.Missing(1, newest+2), []remotelog.Run{{First: newest, Last: newest + 2}}; !slices.Equal(got, want) {
		t.Errorf("not listed, but to be there: %v, want %v", got, want)
	}
	if _, err := p.copyTo(mem.New()); !store.IsNotExist(err) {
		t.Errorf("copied without entry %d: %v", newest+2, err)
	}
}

// TestPruneGrace reads states while they are pruned: until the grace has passed since then, nothing that they need goes.
func TestPruneGrace(t *testing.T) {
	p := newPast(t, 60, time.Hour)
	p.o.Grace = 24 * time.Hour
	all := p.points()
	objects, _ := p.size()
	whole := func(list []uint64) {
		t.Helper()
		for _, n := range list {
			if !bytes.Equal(restore(t, p.s, n), p.states[n]) {
				t.Fatalf("entry %d restores to something else", n)
			}
		}
	}
	first := p.once(logwriter.Policy{Last: 30})
	if got := p.points(); !slices.Equal(got, all[len(all)-30:]) || first.Waiting == 0 {
		t.Errorf("%v is left of %v: %+v", got, all, first)
	}
	p.s.clock.set(p.s.clock.Now().Add(23 * time.Hour))
	second := p.once(logwriter.Policy{Last: 1})
	if got := p.points(); len(got) != 1 || second.RemovedEntries+second.RemovedPacks > 0 || second.Waiting <= first.Waiting {
		t.Errorf("%v is left: %+v", got, second)
	}
	whole(all)
	sound(t, p.s)
	// The first batch goes, the second does not.
	p.s.clock.set(p.s.clock.Now().Add(time.Hour))
	third := p.once(logwriter.Policy{})
	if third.RemovedEntries+third.RemovedPacks != first.Waiting || third.Waiting != second.Waiting-first.Waiting {
		t.Errorf("%+v, then %+v, then %+v", first, second, third)
	}
	whole(numbers(first.Kept))
	sound(t, p.s)
	p.s.clock.set(p.s.clock.Now().Add(23 * time.Hour))
	fourth := p.once(logwriter.Policy{})
	if left, _ := p.size(); fourth.Waiting > 0 || left != objects+2-first.Waiting-third.Waiting {
		t.Errorf("of %d objects %d are left: %+v", objects, left, fourth)
	}
	sound(t, p.s)
}

// TestPruneGarbageList loses and damages the list of garbage: the grace begins anew.
func TestPruneGarbageList(t *testing.T) {
	key := remotelog.GarbageKey(testName)
	for name, spoil := range map[string]func(p *past){
		"lost":    func(p *past) { check(p.t, p.s.Delete(p.t.Context(), key)) },
		"damaged": func(p *past) { put(p.t, p.s.Store, key, []byte("no list")) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPast(t, 40, time.Hour)
			first := p.once(logwriter.Policy{Last: 3})
			spoil(p)
			var faults []string
			_, err := logrep.New(p.s, p.s, testName).Check(t.Context(), nil, func(f *logrep.Fault) { faults = append(faults, f.Object) })
			if check(t, err); !slices.Equal(faults, []string{key}) {
				t.Errorf("faults in %v", faults)
			}
			p.pass()
			if r := p.once(logwriter.Policy{}); r.RemovedEntries+r.RemovedPacks > 0 || r.Waiting != first.Waiting {
				t.Errorf("first %+v, then %+v", first, r)
			}
			sound(t, p.s)
			p.pass()
			if r := p.once(logwriter.Policy{}); r.RemovedEntries+r.RemovedPacks != first.Waiting || r.Waiting > 0 {
				t.Errorf("first %+v, then %+v", first, r)
			}
			sound(t, p.s)
		})
	}
}

// TestPruneMuchGarbage finds more garbage than a list has room for.
func TestPruneMuchGarbage(t *testing.T) {
	defer logwriter.SetGarbageMost(10)()
	p := newPast(t, 40, time.Hour)
	left := p.once(logwriter.Policy{Last: 2}).Waiting
	for turn := 1; left > 0; turn++ {
		p.pass()
		r := p.once(logwriter.Policy{})
		n := r.RemovedEntries + r.RemovedPacks
		if turn == 1 && left <= 10 || n != turn%2*min(10, left) || r.Waiting != left-n { // what was removed makes room the next time
			t.Fatalf("turn %d: %d were left, then %+v", turn, left, r)
		}
		left = r.Waiting
		sound(t, p.s)
	}
}

// TestEveryObjectOfAPrunedLog deletes, cuts, flips and swaps what is left when some states were pruned, and what they needed waits or is gone:
// who looks through the log names each, be it needed or not.
func TestEveryObjectOfAPrunedLog(t *testing.T) {
	for _, gone := range []bool{false, true} {
		t.Run(fmt.Sprint("gone:", gone), func(t *testing.T) {
			p := newPast(t, 50, time.Hour)
			p.once(logwriter.Policy{Hourly: 6, Last: 1})
			if gone {
				p.pass()
				if r := p.once(logwriter.Policy{}); r.RemovedEntries == 0 || r.RemovedPacks == 0 {
					t.Fatalf("%+v", r)
				}
			}
			check(t, p.w.RefreshLatest(t.Context()))
			sound(t, p.s)
			found := func(key, how string) {
				t.Helper()
				var faults []string
				_, err := logrep.New(p.s, p.s, testName).Check(t.Context(), &logrep.CheckOptions{Percent: 100},
					func(f *logrep.Fault) { faults = append(faults, f.Object+": "+f.Error()) })
				check(t, err)
				if !slices.ContainsFunc(faults, func(s string) bool { return strings.Contains(s, key) }) {
					t.Errorf("%s %s, but the faults are %q", key, how, faults)
				}
			}
			all := keys(t, p.s, "")
			rng := rand.New(rand.NewPCG(1, 2))
			for i, key := range all {
				if i%(1+sampled(2)) > 0 {
					continue
				}
				whole := object(t, p.s, key)
				put(t, p.s.Store, key, nil)
				found(key, "is gone")
				put(t, p.s.Store, key, whole[:rng.IntN(len(whole))])
				found(key, "is cut")
				for range 3 {
					b := bytes.Clone(whole)
					at := rng.IntN(len(b))
					b[at] ^= 1 << rng.IntN(8)
					put(t, p.s.Store, key, b)
					found(key, fmt.Sprintf("has another byte at %d of %d", at, len(b)))
				}
				put(t, p.s.Store, key, object(t, p.s, all[(i+1)%len(all)]))
				found(key, "is another")
				put(t, p.s.Store, key, whole)
			}
			sound(t, p.s)
		})
	}
}

// TestPruneByTheClockOfTheStore: a machine whose clock is ahead does not end the grace.
func TestPruneByTheClockOfTheStore(t *testing.T) {
	p := newPast(t, 30, time.Hour)
	first := p.once(logwriter.Policy{Last: 2})
	p.o.Now = func() time.Time { return p.s.clock.Now().Add(48 * time.Hour) }
	for range 3 {
		if r := p.once(logwriter.Policy{}); r.RemovedEntries+r.RemovedPacks > 0 || r.Waiting != first.Waiting {
			t.Errorf("first %+v, then %+v", first, r)
		}
		sound(t, p.s)
	}
	p.pass()
	if r := p.once(logwriter.Policy{}); r.RemovedEntries+r.RemovedPacks != first.Waiting {
		t.Errorf("first %+v, then %+v", first, r)
	}
	sound(t, p.s)
}

// TestPruneUndatedStore prunes in a store that does not say when objects were put.
func TestPruneUndatedStore(t *testing.T) {
	p := newPast(t, 30, time.Hour)
	first := p.once(logwriter.Policy{Last: 2})
	key := remotelog.GarbageKey(testName)
	delete(p.s.times, key)
	if r := p.once(logwriter.Policy{}); r.RemovedEntries+r.RemovedPacks > 0 {
		t.Errorf("then %+v", r)
	}
	delete(p.s.times, key)
	p.pass()
	if r := p.once(logwriter.Policy{}); r.RemovedEntries+r.RemovedPacks != first.Waiting {
		t.Errorf("first %+v, then %+v", first, r)
	}
}

// TestPruneWithoutTheListOfPruned loses the list of pruned entries, or has an older one: the states are offered again, so nothing that they need goes
// before they were pruned again, and a grace has passed.
func TestPruneWithoutTheListOfPruned(t *testing.T) {
	key := remotelog.PrunedKey(testName)
	for _, old := range []bool{false, true} {
		t.Run(fmt.Sprint("old:", old), func(t *testing.T) {
			p := newPast(t, 40, time.Hour)
			all := p.points()
			p.once(logwriter.Policy{Last: 35})
			list := object(t, p.s, key)
			first := p.once(logwriter.Policy{Last: 3})
			if !old {
				list = nil
			}
			put(t, p.s.Store, key, list)
			var faults []string
			_, err := logrep.New(p.s, p.s, testName).Check(t.Context(), nil, func(f *logrep.Fault) { faults = append(faults, f.Object) })
			if check(t, err); !slices.Equal(faults, []string{key}) {
				t.Errorf("faults in %v", faults)
			}
			offered := p.points()
			if want := all[len(all)-35:]; old && !slices.Equal(offered, want) || !old && !slices.Equal(offered, all) {
				t.Errorf("offered again: %v", offered)
			}
			p.pass()
			r := p.once(logwriter.Policy{Last: 3})
			if r.RemovedEntries+r.RemovedPacks > 0 || r.Waiting != first.Waiting {
				t.Errorf("first %+v, then %+v", first, r)
			}
			for _, n := range offered {
				if !bytes.Equal(restore(t, p.s, n), p.states[n]) {
					t.Fatalf("entry %d restores to something else", n)
				}
			}
			sound(t, p.s)
			p.pass()
			if r := p.once(logwriter.Policy{Last: 3}); r.RemovedEntries+r.RemovedPacks != first.Waiting {
				t.Errorf("first %+v, then %+v", first, r)
			}
			sound(t, p.s)
		})
	}
}

// TestPruneOrphans looks at packs that no entry names.
func TestPruneOrphans(t *testing.T) {
	p := newPast(t, 10, time.Hour)
	newest := uint64(len(entries(t, p.s)))
	put := func(entry uint64, nonce uint64) string {
		key := remotelog.PackKey(testName, remotelog.ObjectID{Entry: entry, Part: 1, Nonce: nonce})
		_, err := p.s.Put(t.Context(), key, []byte("frames"), store.Condition{})
		check(t, err)
		return key
	}
	orphans := []string{put(1, 1), put(newest, 2)}
	coming := put(newest+1, 3) // of an upload that takes long
	strange := remotelog.PackPrefix(testName) + "readme"
	_, err := p.s.Put(t.Context(), strange, []byte("what is this"), store.Condition{})
	check(t, err)
	there := func(key string) bool { _, err := p.s.Head(t.Context(), key); return err == nil }
	if r := p.once(logwriter.Policy{}); r.Waiting != 2 || !there(orphans[0]) || !there(orphans[1]) {
		t.Errorf("at first: %+v", r)
	}
	p.pass()
	young := put(2, 4)
	r := p.once(logwriter.Policy{})
	if there(orphans[0]) || there(orphans[1]) || !there(coming) || !there(young) || !there(strange) || r.RemovedPacks != 2 || r.Waiting != 1 {
		t.Errorf("orphans %v %v, coming %v, young %v, strange %v: %+v",
			there(orphans[0]), there(orphans[1]), there(coming), there(young), there(strange), r)
	}
}

// TestPruneLatest prunes behind a copy of the newest entry that is stale, and looks whether readers find the newest.
func TestPruneLatest(t *testing.T) {
	p := newPast(t, 14, time.Hour) // the copy is that of the first
	p.o.Grace = time.Minute
	p.s.clock.set(p.s.clock.Now().Add(time.Hour))
	p.prune(logwriter.Policy{Last: 1})
	h, err := logrep.New(p.s, p.s, testName).Head(t.Context(), nil)
	if err != nil || h.Entry.Number != 14 {
		t.Errorf("newest: %+v, %v", h, err)
	}
	if got := p.points(); !slices.Equal(got, []uint64{14}) {
		t.Errorf("points: %v", got)
	}
}

// TestPruneCopied prunes a log whose objects were all copied at the same time.
func TestPruneCopied(t *testing.T) {
	for _, c := range []struct {
		step   time.Duration
		policy logwriter.Policy
		n      int
	}{{12 * time.Hour, logwriter.Policy{Daily: 10}, 40}, {2 * time.Second, logwriter.Policy{Within: 19 * time.Second}, 40}, {time.Hour, logwriter.Policy{Within: 9 * time.Hour}, 12}} {
		p := newPast(t, c.n, c.step)
		for key := range p.s.times {
			p.s.times[key] = p.s.clock.Now()
		}
		p.s.clock.set(p.s.clock.Now().Add(48 * time.Hour))
		if r := p.prune(c.policy); len(r.Kept) < 9 || len(r.Kept) > 11 { // two are compactions
			t.Errorf("%+v: kept %v", c.policy, r.Kept)
		}
	}
}

// TestPruneWrongClock: an entry that was appended while a clock was wrong does not make others old, nor new.
func TestPruneWrongClock(t *testing.T) {
	for _, wrong := range []time.Duration{9000 * time.Hour, -9000 * time.Hour} {
		p := newPast(t, 40, time.Hour)
		right := p.w
		p.w = logwriter.New(p.s, p.s, testName, logwriter.Options{
			Owner: owner(1), Now: func() time.Time { return p.s.clock.Now().Add(wrong) },
		})
		p.next()
		want := len(p.points())
		if r := p.once(logwriter.Policy{Within: 30 * 24 * time.Hour}); len(r.Kept) != want || len(r.Pruned) != 0 {
			t.Errorf("%v: of %d states these stay: %v", wrong, want, r.Kept)
		}
		p.w = right
		p.s.clock.set(p.s.clock.Now().Add(time.Hour))
		p.next()
		if r := p.once(logwriter.Policy{Hourly: 10}); len(r.Kept) < 9 {
			t.Errorf("%v: by the hour, these stay: %v", wrong, r.Kept)
		}
	}
}

// TestPruneDamagedList begins the list of pruned entries anew.
func TestPruneDamagedList(t *testing.T) {
	p := newPast(t, 40, time.Hour)
	p.prune(logwriter.Policy{Last: 20})
	put(t, p.s.Store, remotelog.PrunedKey(testName), []byte("no list"))
	var faults []string
	_, err := logrep.New(p.s, p.s, testName).Check(t.Context(), nil, func(f *logrep.Fault) { faults = append(faults, f.Object) })
	key := remotelog.PrunedKey(testName) // once; and maybe entries that were pruned, and are not whole any more
	if check(t, err); len(faults) == 0 || faults[0] != key || slices.Contains(faults[1:], key) {
		t.Errorf("faults in %v", faults)
	}
	p.prune(logwriter.Policy{Last: 3})
	if got := p.points(); len(got) != 3 {
		t.Errorf("points %v", got)
	}
	sound(t, p.s)
}

// TestBeginAnew begins a log where only the lists of another are left.
func TestBeginAnew(t *testing.T) {
	p := newPast(t, 40, time.Hour)
	p.once(logwriter.Policy{Last: 3})
	for _, key := range keys(t, p.s, "") {
		if key != remotelog.PrunedKey(testName) && key != remotelog.GarbageKey(testName) {
			put(t, p.s.Store, key, nil)
		}
	}
	p.w, p.states = p.writer(), map[uint64][]byte{}
	p.d.snap = take(random(len(p.d.data), 5), p.d.m.Sequence+1)
	for range 5 {
		p.next()
	}
	check(t, p.w.RefreshLatest(t.Context()))
	if got := p.points(); !slices.Equal(got, []uint64{1, 2, 3, 4, 5}) {
		t.Errorf("points %v", got)
	}
	sound(t, p.s)
	p.prune(logwriter.Policy{Last: 2})
	if got := p.points(); !slices.Equal(got, []uint64{4, 5}) {
		t.Errorf("points %v", got)
	}
	sound(t, p.s)
}

// TestPruneLocked: what can't be removed keeps nothing else from being removed, and is tried again.
func TestPruneLocked(t *testing.T) {
	p := newPast(t, 40, time.Hour)
	first := p.once(logwriter.Policy{Last: 3})
	p.pass()
	locked := remotelog.EntryKey(testName, 1)
	s := storefault.New(p.s, func(c storefault.Call) storefault.Fault {
		return storefault.Fault{Fail: c.Verb == store.VerbDelete && c.Key == locked}
	})
	for i := range 3 {
		r, err := logwriter.Prune(t.Context(), s, s, testName, logwriter.Policy{}, p.o)
		if err == nil || !strings.Contains(err.Error(), "remove") || !r.Done {
			t.Fatalf("got %v, %+v", err, r)
		}
		if n := r.RemovedEntries + r.RemovedPacks; i == 0 && n != first.Waiting-1 || i > 0 && n > 0 || r.Waiting != 1 {
			t.Errorf("first %+v, then %+v", first, r)
		}
		sound(t, p.s)
	}
	if r := p.once(logwriter.Policy{}); r.RemovedEntries != 1 {
		t.Errorf("at last: %+v", r)
	}
}

// TestPruneTimes: wrong clocks, and copies, make no policy keep less.
func TestPruneTimes(t *testing.T) {
	const day = 24 * time.Hour
	last := func(n, of int) (list []uint64) {
		for i := of - n + 1; i <= of; i++ {
			list = append(list, uint64(i))
		}
		return list
	}
	for _, c := range []struct {
		name   string
		n      int
		step   time.Duration
		wrong  func(i int) time.Duration // by how much the clock of the writer is ahead
		put    func(p *past, i int, at time.Time) time.Time
		policy logwriter.Policy
		want   []uint64 // of those that stay
		least  int      // that stay
		most   int
	}{
		{name: "undated", n: 40, step: day, put: func(*past, int, time.Time) time.Time { return time.Time{} }, policy: logwriter.Policy{Daily: 30}, want: last(30, 40), least: 30, most: 32},
		{
			name: "copied, one ahead", n: 36, step: day, wrong: func(i int) time.Duration { return map[bool]time.Duration{i == 6: 9000 * time.Hour}[true] },
			put: func(p *past, _ int, _ time.Time) time.Time { return p.s.clock.Now() }, policy: logwriter.Policy{Daily: 20}, want: last(20, 36), least: 20, most: 22,
		},
		{
			name: "copied, one a little ahead", n: 36, step: day, wrong: func(i int) time.Duration { return map[bool]time.Duration{i == 30: 20 * day}[true] },
			put: func(p *past, _ int, _ time.Time) time.Time { return p.s.clock.Now() }, policy: logwriter.Policy{Daily: 20}, want: last(18, 36), least: 20, most: 22,
		},
		{
			name: "behind at the end", n: 20, step: day, wrong: func(i int) time.Duration { return map[bool]time.Duration{i > 10: -9000 * time.Hour}[true] },
			policy: logwriter.Policy{Daily: 15}, want: last(15, 20), least: 15, most: 20,
		},
		{
			name: "behind at first", n: 13, step: day, wrong: func(i int) time.Duration { return map[bool]time.Duration{i <= 10: -9000 * time.Hour}[true] },
			policy: logwriter.Policy{Within: 30 * day}, want: last(13, 13), least: 13, most: 13,
		},
		{
			name: "copied every five hours", n: 200, step: 10 * time.Minute,
			put: func(_ *past, _ int, at time.Time) time.Time { return at.Truncate(5 * time.Hour).Add(5 * time.Hour) }, policy: logwriter.Policy{Hourly: 20}, want: []uint64{200}, least: 20, most: 22,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPast(t, 0, 0)
			var at []time.Time
			for i := 1; i <= c.n; i++ {
				if ahead := time.Duration(0); c.wrong != nil || i == 1 {
					if c.wrong != nil {
						ahead = c.wrong(i)
					}
					p.w = logwriter.New(p.s, p.s, testName, logwriter.Options{Owner: owner(1), Now: func() time.Time { return p.s.clock.Now().Add(ahead) }})
				}
				at = append(at, p.s.clock.Now())
				p.next()
				p.s.clock.set(p.s.clock.Now().Add(c.step))
			}
			for i := range at {
				if c.put != nil {
					p.s.times[remotelog.EntryKey(testName, uint64(i+1))] = c.put(p, i, at[i])
				}
			}
			r := p.once(c.policy)
			kept := numbers(r.Kept)
			for _, n := range c.want {
				if !slices.Contains(kept, n) {
					t.Errorf("entry %d is not kept: %v", n, kept)
				}
			}
			if len(kept) < c.least || len(kept) > c.most {
				t.Errorf("%d are kept: %v", len(kept), kept)
			}
			if got := p.points(); !slices.Equal(got, kept) {
				t.Errorf("points %v, want %v", got, kept)
			}
		})
	}
}

// TestPruneCopyDaily copies a log, and prunes both, day by day: what the copy does not need any more goes, though each copy changes its list of pruned entries.
func TestPruneCopyDaily(t *testing.T) {
	p := newPast(t, 30, time.Hour)
	to := newDated()
	to.clock = p.s.clock
	removed := 0
	for day := range 5 {
		p.next()
		p.once(logwriter.Policy{Last: 5})
		if _, err := p.copyTo(to); err != nil {
			t.Fatal(err)
		}
		r, err := logwriter.Prune(t.Context(), to, to, testName, logwriter.Policy{Last: 5}, p.o)
		check(t, err)
		if removed += r.RemovedEntries + r.RemovedPacks; day > 0 && removed == 0 || r.Waiting > 30 {
			t.Errorf("day %d: %d were removed, %+v", day, removed, r)
		}
		sound(t, to)
		p.s.clock.set(p.s.clock.Now().Add(24 * time.Hour))
	}
	if removed < 10 {
		t.Errorf("only %d objects were removed", removed)
	}
}

// TestPruneLongerGrace lets a prune with a longer grace come while one with a shorter one removes.
func TestPruneLongerGrace(t *testing.T) {
	p := newPast(t, 40, time.Hour)
	p.o.Grace, p.o.Jobs = 2*time.Minute, 1
	p.once(logwriter.Policy{Last: 3})
	p.pass()
	deleted := 0
	s := storefault.New(p.s, func(c storefault.Call) storefault.Fault {
		if c.Verb == store.VerbDelete {
			if deleted++; deleted == 3 {
				o := p.o
				o.Grace = 0
				_, err := logwriter.Prune(t.Context(), p.s, p.s, testName, logwriter.Policy{}, o)
				check(t, err)
			}
		}
		return storefault.Fault{}
	})
	_, err := logwriter.Prune(t.Context(), s, s, testName, logwriter.Policy{}, p.o)
	if check(t, err); deleted < 5 {
		t.Errorf("%d were removed", deleted)
	}
	sound(t, p.s)
}

// TestPruneRefusingStore prunes where the server refuses every ETag.
func TestPruneRefusingStore(t *testing.T) {
	p := newPast(t, 40, time.Hour)
	s := refusing{p.s}
	for range 3 {
		_, err := logwriter.Prune(t.Context(), s, s, testName, logwriter.Policy{Last: 3}, p.o)
		check(t, err)
		p.pass()
		p.next()
	}
	sound(t, p.s)
}

// TestPruneBrokenPoint loses the list of pruned entries when the index of one, whose object others need, is gone: that one can't be kept.
func TestPruneBrokenPoint(t *testing.T) {
	p := newPast(t, 0, 0)
	p.d = newChanging(random(300*manifest.ChunkSize, 1), 2)
	p.w = logwriter.New(p.s, p.s, testName, logwriter.Options{Owner: owner(1), Inline: 40_000, Now: p.s.clock.Now})
	for i := range 60 {
		p.next()
		if i%20 == 19 {
			p.compact()
		}
		p.s.clock.set(p.s.clock.Now().Add(time.Hour))
	}
	p.prune(logwriter.Policy{Last: 5})
	left := len(entries(t, p.s))
	put(t, p.s.Store, remotelog.PrunedKey(testName), nil)
	r := p.once(logwriter.Policy{Last: 60})
	if left == 5 || len(r.Kept) > left || len(r.Kept)+len(r.Pruned) != left {
		t.Errorf("%d entries are left, %+v", left, r)
	}
	t.Logf("%d of %d were not whole", len(r.Pruned), left)
}

// TestPruneBeside lets a writer append, and compact, right before each request of Prune.
func TestPruneBeside(t *testing.T) {
	for i := 0; ; i++ {
		p := newGarbage(t)
		s := storefault.New(p.s, func(c storefault.Call) storefault.Fault {
			if c.N == i {
				p.d.change(200)
				p.next()
				p.compact()
				p.next()
			}
			return storefault.Fault{}
		})
		before := len(entries(t, p.s))
		r, err := logwriter.Prune(t.Context(), s, s, testName, logwriter.Policy{Last: 2, Daily: 2}, p.o)
		check(t, err)
		got := p.points()
		for _, n := range numbers(r.Kept) {
			if !slices.Contains(got, n) {
				t.Fatalf("request %d: entry %d is gone", i, n)
			}
		}
		if r.RemovedEntries == 0 || len(r.Pruned) == 0 || r.Waiting == 0 {
			t.Fatalf("request %d: %+v", i, r)
		}
		p.next()
		p.points()
		p.pass()
		if again := p.once(logwriter.Policy{}); again.RemovedEntries+again.RemovedPacks != r.Waiting {
			t.Fatalf("request %d: %+v, then %+v", i, r, again)
		}
		p.points()
		if len(s.Calls()) <= i {
			if i < 20 || before < 45 {
				t.Errorf("only %d requests", i)
			}
			return
		}
		i += i/30 + sampled(4) // deletions are all alike
	}
}

// TestPruneFaults lets each request of Prune fail, and checks that the recovery points that are left are whole.
func TestPruneFaults(t *testing.T) {
	for name, f := range map[string]storefault.Fault{
		"fail": {Fail: true}, "lost": {Lost: true}, "crash": {Fail: true, Err: context.Canceled}, "broken": {After: 1},
	} {
		t.Run(name, func(t *testing.T) {
			for i := 0; ; i++ {
				p := newPast(t, 30, 2*time.Hour)
				p.o.Jobs, p.o.Grace = 1, time.Hour
				if i%2 == 1 { // there are lists already, and something goes at once
					p.once(logwriter.Policy{Last: 20})
					p.pass()
				}
				s := storefault.New(p.s, func(c storefault.Call) storefault.Fault {
					if c.N == i || name == "crash" && c.N > i {
						return f
					}
					return storefault.Fault{}
				})
				_, err := logwriter.Prune(t.Context(), s, s, testName, logwriter.Policy{Last: 2}, p.o)
				clean := len(s.Calls()) <= i
				if err == nil != clean && name != "broken" && name != "lost" {
					t.Fatalf("request %d: got %v", i, err)
				}
				p.points()
				sound(t, p.s)
				r := p.prune(logwriter.Policy{Last: 2})
				if got := p.points(); !slices.Equal(got, numbers(r.Kept)) {
					t.Fatalf("request %d: %v is left, want %v", i, got, r.Kept)
				}
				if clean {
					return
				}
				i += i/10 + sampled(4)
			}
		})
	}
}

// TestPruneTwice lets a second prune run at each request of a first one: whatever becomes of it, the log is whole.
func TestPruneTwice(t *testing.T) {
	refused := 0
	for i := 0; ; i++ {
		p := newGarbage(t)
		s := storefault.New(p.s, func(c storefault.Call) storefault.Fault {
			if c.N == i {
				p.d.change(5)
				p.next()
				p.once(logwriter.Policy{Last: 4})
			}
			return storefault.Fault{}
		})
		_, err := logwriter.Prune(t.Context(), s, s, testName, logwriter.Policy{Last: 2}, p.o)
		if errors.Is(err, store.ErrPrecondition) {
			refused++
		} else if err != nil && !store.IsNotExist(err) {
			t.Fatalf("request %d: %v", i, err)
		}
		sound(t, p.s)
		p.points()
		if len(s.Calls()) <= i {
			break
		}
		r := p.prune(logwriter.Policy{Last: 1})
		if got := p.points(); len(got) != 1 || r.Waiting > 0 {
			t.Fatalf("request %d: points %v, %+v", i, got, r)
		}
		sound(t, p.s)
		if list := p.pruned(); list.Unlisted != 0 {
			t.Fatalf("request %d: the list passes for lost: %+v", i, list)
		}
		i += sampled(3)
	}
	if refused == 0 {
		t.Error("nobody was refused")
	}
}

// TestPrunePlain prunes in stores without conditions.
func TestPrunePlain(t *testing.T) {
	p := newPast(t, 45, 2*time.Hour)
	p.o.Grace = time.Hour
	for i, s := range []store.Store{unsupporting{p.s}, unconditional{p.s}} {
		r, err := logwriter.Prune(t.Context(), s, s, testName, logwriter.Policy{Last: 3 - i}, p.o)
		check(t, err)
		if got := p.points(); len(got) != 3-i || len(r.Pruned) == 0 {
			t.Errorf("%v are left: %+v", got, r)
		}
		p.pass()
		r, err = logwriter.Prune(t.Context(), s, s, testName, logwriter.Policy{}, p.o)
		if check(t, err); i == 0 && r.RemovedEntries == 0 || r.Waiting > 0 {
			t.Errorf("after the grace: %+v", r)
		}
		sound(t, p.s)
	}
}

func TestPruneNothing(t *testing.T) {
	s := mem.New()
	if _, err := logwriter.Prune(t.Context(), s, s, testName, logwriter.Policy{Last: 1}, logwriter.PruneOptions{}); !store.IsNotExist(err) {
		t.Errorf("no log: got %v, want %v", err, store.ErrNotExist)
	}
}
