package logwriter_test

import (
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
)

// set changes a page, with as many bytes.
func (c *changing) set(page int, b []byte) {
	copy(c.data[page*pageSize:], b)
	i := page * pageSize / manifest.ChunkSize
	delete(c.at, c.m.Chunks[i])
	c.m.Chunks[i] = manifest.Sum(c.chunk(i))
	c.at[c.m.Chunks[i]] = i
}

// commit changes the first page, as every transaction does.
func (c *changing) commit() {
	c.data[27]++
	c.set(0, nil)
	c.m.First = c.chunk(0)
	c.m.Header = manifest.HeaderSum(c.data)
	c.m.Sequence++
}

// inMemory is what a restore writes to, and reads back.
type inMemory []byte

func (b inMemory) WriteAt(p []byte, off int64) (int, error) { return copy(b[off:], p), nil }

func (b inMemory) ReadAt(p []byte, off int64) (int, error) {
	if n := copy(p, b[off:]); n < len(p) {
		return n, io.EOF
	}
	return len(p), nil
}

// TestRequestsOfOlderStates restores what was there five minutes before, while a database changes in many ways: that takes hardly more requests
// than restoring the newest state does.
func TestRequestsOfOlderStates(t *testing.T) {
	anywhere := func(d *changing, pages, n int) {
		for range pages {
			p := 1 + d.rnd.IntN(len(d.data)/pageSize-1)
			d.set(p, random(n, d.rnd.Uint64()))
		}
	}
	for _, c := range []struct {
		name   string
		size   int
		change func(d *changing, second int)
	}{
		{"a row a second in 94 MB", bigDatabase, func(d *changing, _ int) { anywhere(d, 1, 1000) }},
		{"100 rows a second in 94 MB", bigDatabase, func(d *changing, _ int) { anywhere(d, 100, pageSize) }},
		{"a table that grows", 1 << 20, func(d *changing, _ int) {
			data := append(d.data, random(4*pageSize, d.rnd.Uint64())...)
			s := take(data, d.m.Sequence)
			d.snap = s
		}},
		{"10 rows a second in 10 MB", 10 << 20, func(d *changing, _ int) { anywhere(d, 10, pageSize) }},
		{"a row a second in 1 MB", 1 << 20, func(d *changing, _ int) { anywhere(d, 1, 1000) }},
		{"the same rows", 10 << 20, func(d *changing, second int) { d.set(1+second%10, random(1000, uint64(second))) }},
		{"some rows, and all now and then", 10 << 20, func(d *changing, second int) {
			anywhere(d, 1, 1000)
			if second%150 == 149 {
				anywhere(d, 10_000, pageSize)
			}
		}},
	} {
		if testing.Short() && c.size > 10<<20 {
			continue // the race detector makes minutes of it
		}
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, logwriter.Options{})
				d := newChanging(random(c.size, 1), 1)
				d.rnd = rand.New(rand.NewPCG(5, 5))
				out := make(inMemory, bigDatabase)
				restored := func(back time.Duration) int {
					t.Helper()
					r.s.reset()
					l := logrep.New(r.s, r.s, testName)
					h, err := l.Head(t.Context(), nil)
					check(t, err)
					if back > 0 {
						h, err = l.At(t.Context(), time.Now().Add(-back))
						check(t, err)
					}
					check(t, logrep.Restore(t.Context(), l, h.Entry, out, &logrep.RestoreOptions{Written: out}))
					return r.s.requests()
				}
				var list []int
				var appended, rewritten int64
				for second := range 900 {
					c.change(d, second)
					d.commit()
					res, err := r.w.Append(t.Context(), d.m, d)
					check(t, err)
					if second > 0 {
						appended += res.Bytes
					}
					if r.w.CompactionDue() {
						res, err := r.w.Compact(t.Context(), logwriter.Budget{Bytes: 16 << 20})
						check(t, err)
						rewritten += res.Bytes
					}
					time.Sleep(time.Second)
					if second > 350 && second%29 == 0 {
						newest, old := restored(0), restored(5*time.Minute)
						list = append(list, newest, old)
						if old > newest+10 {
							t.Errorf("after %d s: %d requests for the newest state, %d for that of five minutes before", second, newest, old)
						}
					}
				}
				t.Logf("requests for the newest state and the older one: %v; %.2f MB were written for %.2f MB appended: %.2f", list,
					float64(appended+rewritten)/1e6, float64(appended)/1e6, float64(appended+rewritten)/float64(appended))
			})
		})
	}
}

// TestMain compresses something, so that what the compressor keeps belongs to no test with a clock of its own.
func TestMain(m *testing.M) {
	frame := remotelog.AppendFrame(nil, remotelog.KindChunk, make([]byte, 100))
	if _, err := remotelog.DecodeFrame(frame, remotelog.KindChunk); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
