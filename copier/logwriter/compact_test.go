package logwriter_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

// footprint returns how many objects an entry needs, what they have in bytes, and how many bytes the state takes when it
// is appended to nothing.
func footprint(t testing.TB, s store.Store, number uint64) (objects int, size, alone int64) {
	t.Helper()
	r := newReading(t, s, number)
	named := map[remotelog.ObjectID]bool{}
	for b := range r.e.Blocks {
		for _, p := range []remotelog.Place{r.e.Blocks[b].Stored, r.e.Blocks[b].Patch} {
			if !p.IsZero() {
				named[p.Object] = true
			}
		}
		for _, c := range r.block(b) {
			for _, l := range c.Layers {
				named[l.Frame.Object] = true
			}
		}
	}
	for id := range named {
		key := remotelog.PackKey(testName, id)
		if id.Part == 0 {
			key = remotelog.EntryKey(testName, id.Entry)
		}
		info, err := s.Head(t.Context(), key)
		check(t, err)
		size += info.Size
	}
	fresh := newRig(t, logwriter.Options{})
	res := fresh.send(restore(t, s, number))
	return len(named), size, res.Bytes
}

// A changing database keeps its fingerprints, so that many small changes of it are cheap to append.
type changing struct {
	*snap
	rnd   *rand.Rand
	mixed bool // half of the database compresses well, the other not at all
}

func newChanging(data []byte, seed uint64) *changing {
	return &changing{snap: take(data, 1), rnd: rand.New(rand.NewPCG(seed, 1))}
}

// change changes pages at random: half of each is random, the rest is zeros.
func (c *changing) change(pages int) {
	for range pages {
		p := c.rnd.IntN(len(c.data) / pageSize)
		if c.rnd.IntN(4) > 0 {
			p %= len(c.data) / pageSize / 10 // some are changed more often
		}
		n := pageSize / 2
		switch {
		case c.mixed && p/16%2 == 0:
			n = pageSize
		case c.mixed:
			n = pageSize / 32
		}
		copy(c.data[p*pageSize:], random(n, c.rnd.Uint64()))
		i := p * pageSize / manifest.ChunkSize
		delete(c.at, c.m.Chunks[i])
		c.m.Chunks[i] = manifest.Sum(c.chunk(i))
	}
	for i, sum := range c.m.Chunks {
		c.at[sum] = i
	}
	c.m.Header = manifest.HeaderSum(c.data)
	c.m.Sequence++
}

// TestCompact appends thousands of small commits, compacts now and then, and looks at where the newest state is then.
func TestCompact(t *testing.T) {
	for _, c := range []struct {
		name           string
		commits, pages int
		mixed          bool
	}{
		{"small commits", 10_000, 2, false},
		{"large commits", 1000, 100, false},
		{"mixed", 1000, 20, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() {
				c.commits /= 10
			}
			data := make([]byte, 16<<20)
			d := newChanging(data, 1)
			d.mixed = c.mixed
			d.change(len(data) / pageSize * 2)
			r := newRig(t, logwriter.Options{PackSize: 1 << 20})
			var appended, rewritten int64
			calls, requests := 0, 0
			last := uint64(0)
			for i := range c.commits {
				d.change(1 + d.rnd.IntN(2*c.pages))
				res, err := r.w.Append(t.Context(), d.m, d)
				check(t, err)
				if i > 0 {
					appended += res.Bytes
				}
				last = res.Entry
				if r.w.CompactionDue() || i == c.commits-1 {
					r.s.reset()
					res, err := r.w.Compact(t.Context(), logwriter.Budget{})
					check(t, err)
					if !res.Unchanged {
						rewritten, calls, requests = rewritten+res.Bytes, calls+1, requests+r.s.requests()
						last = res.Entry
					}
				}
			}
			if !bytes.Equal(restore(t, r.s.Store, last), d.data) {
				t.Fatal("the newest entry restores to something else")
			}
			// Whatever was only estimated, it comes to an end.
			for i := range 4 {
				res, err := r.w.Compact(t.Context(), logwriter.Budget{})
				check(t, err)
				if last = res.Entry; res.Unchanged {
					break
				}
				if i == 3 {
					t.Errorf("compaction goes on and on: %+v", res)
				}
			}
			objects, size, alone := footprint(t, r.s.Store, last)
			t.Logf("%.1f MB appended, %.1f MB more by %d compactions with %.1f requests each: amplification %.2f; "+
				"the state takes %.1f MB alone and lies in %d objects of %.1f MB: %.2f",
				float64(appended)/1e6, float64(rewritten)/1e6, calls, float64(requests)/float64(calls),
				float64(appended+rewritten)/float64(appended),
				float64(alone)/1e6, objects, float64(size)/1e6, float64(size)/float64(alone))
			if size > alone*130/100 {
				t.Errorf("the newest state takes %d bytes alone and lies in objects of %d", alone, size)
			}
			if objects > 160 {
				t.Errorf("the newest state lies in %d objects", objects)
			}
			if appended+rewritten > 5*appended {
				t.Errorf("%d bytes were rewritten for %d appended", rewritten, appended)
			}
		})
	}
}

// garbage appends states of which the last leaves much unused, and returns it.
func garbage(t testing.TB, w *logwriter.Writer) *changing {
	t.Helper()
	d := newChanging(random(20*manifest.ChunkSize, 1), 2)
	for range 12 {
		_, err := w.Append(t.Context(), d.m, d)
		check(t, err)
		d.change(60)
	}
	_, err := w.Append(t.Context(), d.m, d)
	check(t, err)
	return d
}

// compactAll compacts until there is nothing left to do.
func compactAll(ctx context.Context, w *logwriter.Writer) (c logwriter.Compaction, err error) {
	for range 100 {
		if c, err = w.Compact(ctx, logwriter.Budget{}); err != nil || !c.More {
			return c, err
		}
	}
	return c, errors.New("it goes on and on")
}

// TestCompactFaults lets the i-th request of a compaction fail, or lose its reply, or be the last one of its process.
func TestCompactFaults(t *testing.T) {
	for name, f := range map[string]storefault.Fault{
		"fail": {Fail: true}, "lost": {Lost: true}, "broken": {After: 10}, "crash": {Fail: true, Err: context.Canceled},
		"fail, bundles": {Fail: true}, "lost, bundles": {Lost: true}, "broken, bundles": {After: 10},
		"crash, bundles": {Fail: true, Err: context.Canceled},
	} {
		kind, _, bundles := strings.Cut(name, ",")
		if bundles && testing.Short() {
			continue // the race detector makes minutes of it
		}
		t.Run(name, func(t *testing.T) {
			name := kind
			for i := 0; ; i++ {
				s := storefault.New(mem.New(), nil)
				o := logwriter.Options{Owner: owner(1), Inline: 100_000, PackSize: 300_000, Jobs: 1, LatestEvery: 1}
				if bundles {
					o.Inline, o.PackSize = 2<<20, 700_000
				}
				w := logwriter.New(s, s, testName, o)
				d := garbage(t, w)
				n := len(entries(t, s))
				s.SetPlan(func(c storefault.Call) storefault.Fault {
					if c.N == i || name == "crash" && c.N > i {
						return f
					}
					return storefault.Fault{}
				})
				_, err := compactAll(t.Context(), w)
				clean := len(s.Calls()) <= i
				s.SetPlan(nil)
				if name == "crash" {
					w = logwriter.New(s, s, testName, o)
				} else if err != nil {
					_, err = compactAll(t.Context(), w)
					check(t, err)
				}
				if !bytes.Equal(restore(t, s, uint64(len(entries(t, s)))), d.data) {
					t.Fatalf("request %d: the newest entry restores to something else", i)
				}
				d.change(3)
				res, err := w.Append(t.Context(), d.m, d)
				check(t, err)
				if !bytes.Equal(restore(t, s, res.Entry), d.data) || int(res.Entry) != len(entries(t, s)) {
					t.Fatalf("request %d: the entry behind it restores to something else", i)
				}
				sound(t, s)
				if clean {
					made := 1 // by the compaction
					if bundles {
						made = 2
						if len(bundlesOf(t, s)) == 0 {
							t.Error("no bundles")
						}
					}
					if i < 8 || len(entries(t, s)) != n+made+1 {
						t.Errorf("only %d requests, %d entries", i, len(entries(t, s)))
					}
					return
				}
			}
		})
	}
}

func TestCompactEdges(t *testing.T) {
	r := newRig(t, logwriter.Options{})
	if res, err := r.w.Compact(t.Context(), logwriter.Budget{}); err != nil || !res.Unchanged || res.Entry != 0 {
		t.Errorf("no log: %+v, %v", res, err)
	}
	d := garbage(t, r.w)
	res, err := r.w.Compact(t.Context(), logwriter.Budget{Bytes: 1})
	if check(t, err); res.Freed != 0 || !res.More || res.Unchanged || res.Entry != 14 {
		t.Errorf("the least budget: %+v", res)
	}
	e, _ := entryOf(t, r.s, res.Entry)
	if len(e.Bundles) != 1 || e.Bundles[0].End() != 2 {
		t.Errorf("the least budget: bundles %+v", e.Bundles)
	}
	for res.Freed == 0 && res.More {
		res, err = r.w.Compact(t.Context(), logwriter.Budget{Bytes: 1})
		check(t, err)
	}
	if res.Freed != 1 || !res.More || res.Unchanged {
		t.Errorf("the least budget, after the bundles: %+v", res)
	}
	for range 2 { // what a compaction in many parts has appended is bundled by the next one
		res, err = compactAll(t.Context(), r.w)
		check(t, err)
	}
	last := res.Entry
	r.s.reset()
	res, err = r.w.Compact(t.Context(), logwriter.Budget{})
	if check(t, err); !res.Unchanged || res.More || res.Entry != last || r.s.verbs[store.VerbPut] != 0 {
		t.Errorf("nothing to do: %+v, %v", res, r.s.verbs)
	}
	// What is remembered of pages still serves.
	p := 5 * manifest.ChunkSize
	d.data[p]++
	s := take(bytes.Clone(d.data), d.m.Sequence+1)
	r.s.reset()
	ares, err := r.w.Append(t.Context(), s.m, s)
	if check(t, err); ares.Bytes > 12_000 || r.s.verbs[store.VerbGet] != 0 {
		t.Errorf("one page: %d bytes, %v", ares.Bytes, r.s.verbs)
	}
	if !bytes.Equal(restore(t, r.s.Store, ares.Entry), d.data) {
		t.Error("restores to something else")
	}
	// Another owner may not.
	other := logwriter.New(r.s, r.s, testName, logwriter.Options{Owner: owner(2), Adopt: 1})
	if _, err := other.Compact(t.Context(), logwriter.Budget{}); !errors.Is(err, logwriter.ErrFenced) {
		t.Errorf("another owner: got %v, want %v", err, logwriter.ErrFenced)
	}
}

// TestCompactBudget compacts little by little.
func TestCompactBudget(t *testing.T) {
	r := newRig(t, logwriter.Options{PackSize: 300_000, Inline: 300_000})
	d := newChanging(random(100*manifest.ChunkSize, 1), 2)
	for range 60 {
		_, err := r.w.Append(t.Context(), d.m, d)
		check(t, err)
		d.change(40)
	}
	calls := 0
	for more := true; more; calls++ {
		r.s.reset()
		res, err := r.w.Compact(t.Context(), logwriter.Budget{Bytes: 600_000, Requests: 12})
		check(t, err)
		more = res.More
		// Beside the frames there are a header and an index block, beside the rewriting perhaps reading an index block, and the copy of the newest entry.
		if res.Bytes > 700_000 || r.s.requests() > 12+2 || r.s.verbs[store.VerbList] > 0 {
			t.Errorf("call %d: %d bytes by %v", calls, res.Bytes, r.s.verbs)
		}
		if calls > 60 {
			t.Fatal("no end")
		}
	}
	if calls < 4 {
		t.Errorf("only %d calls", calls)
	}
	newest := uint64(len(entries(t, r.s)))
	e, _ := entryOf(t, r.s, newest)
	if d.m.Sequence != e.Sequence+1 {
		t.Errorf("sequence %d after %d", e.Sequence, d.m.Sequence)
	}
	if _, size, alone := footprint(t, r.s.Store, newest); size > 2*alone {
		t.Errorf("%d bytes, %d alone", size, alone)
	}
	sound(t, r.s.Store)
}

// TestCompactInParts appends, and makes the database shorter by a block, before a compaction has come to its end; it goes on in another process.
func TestCompactInParts(t *testing.T) {
	r := newRig(t, logwriter.Options{Inline: 100_000, PackSize: 100_000})
	rnd := rand.New(rand.NewPCG(7, 1))
	data := make([]byte, (manifest.BlockChunks+40)*manifest.ChunkSize)
	sequence := uint64(0)
	send := func(w *logwriter.Writer) {
		t.Helper()
		sequence++
		s := take(data, sequence)
		_, err := w.Append(t.Context(), s.m, s)
		check(t, err)
	}
	change := func(pages int) {
		for range pages {
			p := rnd.IntN(60 * 16) // in the first 10 chunks and around the end of the first block
			if p >= 10*16 {
				p += (manifest.BlockChunks - 20) * 16
			}
			if p = p * pageSize; p < len(data) {
				copy(data[p:], random(pageSize, rnd.Uint64()))
			}
		}
	}
	change(3000)
	for range 12 {
		send(r.w)
		change(100)
	}
	res, err := r.w.Compact(t.Context(), logwriter.Budget{Bytes: 1})
	check(t, err)
	if !res.More || !r.w.CompactionDue() {
		t.Fatalf("the least budget: %+v", res)
	}
	change(10)
	send(r.w)
	if res, err = r.w.Compact(t.Context(), logwriter.Budget{Bytes: 1}); err != nil || !res.More {
		t.Fatalf("the least budget again: %+v, %v", res, err)
	}
	data = data[:(manifest.BlockChunks-5)*manifest.ChunkSize]
	send(r.w)
	w := r.w
	for i := 0; w.CompactionDue(); i++ {
		budget := logwriter.Budget{Bytes: 300_000}
		if i == 1 { // what is remembered is all that another process has
			other := logwriter.New(r.s, r.s, testName, logwriter.Options{Owner: owner(1), PackSize: 100_000})
			check(t, other.Recall(w.Pages()))
			w = other
		}
		res, err := w.Compact(t.Context(), budget)
		check(t, err)
		if !bytes.Equal(restore(t, r.s.Store, res.Entry), data) {
			t.Fatalf("entry %d restores to something else", res.Entry)
		}
		if i > 50 {
			t.Fatal("no end")
		}
	}
	sound(t, r.s.Store)
	res, err = w.Compact(t.Context(), logwriter.Budget{})
	check(t, err)
	if _, size, alone := footprint(t, r.s.Store, res.Entry); size > alone*130/100 {
		t.Errorf("%d bytes, %d alone", size, alone)
	}
}
