//go:build unix

package spool_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/conformance/spooltest"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/internal/instance"
	"github.com/boule-db/boule/spool"
)

// A memWorld is a machine without hardware: files in memory, a clock that moves at each look, and
// random numbers from a seed.
type memWorld struct {
	mem   *fsx.Mem
	now   time.Time
	rand  *rand.Rand
	trail []string
}

func newMemWorld(seed uint64) *memWorld {
	w := &memWorld{now: time.Unix(1_700_000_000, 0), rand: rand.New(rand.NewPCG(seed, 0))}
	w.mem = fsx.NewMem(&fsx.MemOptions{Now: w.clock})
	return w
}

func (w *memWorld) clock() time.Time {
	w.now = w.now.Add(time.Millisecond)
	return w.now
}

func (w *memWorld) root(t *testing.T, boot instance.ID, process string) *spool.Root {
	t.Helper()
	r, err := spool.OpenRoot("/var/spool/boule", 0, &spool.Options{
		Hostname: "host", Boot: boot, Process: process, Now: w.clock, Rand: w.rand.Uint64,
		FS: func(dir string) (fsx.FS, error) {
			if dir = strings.Trim(dir, "/"); dir == "" {
				dir = "."
			}
			return w.mem.Sub(dir)
		},
		WrapFS: func(base fsx.FS) fsx.FS {
			return fsx.Faulty(base, func(op fsx.Op, name string) error {
				w.trail = append(w.trail, fmt.Sprint(process, " ", op, " ", name))
				return nil
			})
		},
		Sleep: func(_ context.Context, d time.Duration) { w.now = w.now.Add(d) },
	})
	check(t, err)
	return r
}

// life runs two processes, a consumer and a restart, and returns all file operations in their order.
func (w *memWorld) life(t *testing.T) []string {
	t.Helper()
	f, err := w.mem.Create("db", 0o600)
	check(t, err)
	check(t, f.Close())
	info, err := w.mem.Stat("db")
	check(t, err)
	db := spool.DB{Path: "/db", Dev: info.Dev, Ino: info.Ino}
	remote := spooltest.NewRemote()
	var last []byte
	for life := range 2 {
		boot := bootAt(0, fmt.Sprint(life))
		boot.Time = w.now.Unix()
		w.now = w.now.Add(time.Minute)
		a, b := w.root(t, boot, "1.1"), w.root(t, boot, "2.1")
		pa, pb := producer(t, a, db), producer(t, b, db)
		toy := spooltest.NewToy(remote, func() (*spool.Consumer, error) { return b.Consumer(pa.Key()) })
		for i := range 12 {
			last = content(2+w.rand.IntN(4), byte(w.rand.IntN(250)))
			p := []*spool.Producer{pa, pb}[w.rand.IntN(2)]
			check(t, snapshot(t, p, last, uint64(100*life+i)))
			for range w.rand.IntN(9) {
				_, err := toy.Step()
				check(t, err)
			}
		}
		for range 3 {
			check(t, toy.Pass())
		}
		data := remote.Manifests[name]
		got, err := remote.Restore(data)
		check(t, err)
		equal(t, got, last)
		check(t, a.WriteTap(target.ID, name, data))
		a.CleanStale(db)
		for _, v := range toy.Violations() {
			t.Error(v)
		}
	}
	names, err := w.mem.ReadDir("var/spool/boule")
	check(t, err)
	if len(names) != 1 {
		t.Errorf("after a restart there are %q, want one boot", names)
	}
	return w.trail
}

// A whole Root lives in memory, and all that it does follows from the seed: the same seed gives the
// same file operations, in the same order and with the same names.
func TestRunInMemoryReplaysFromItsSeed(t *testing.T) {
	first, again, other := newMemWorld(1).life(t), newMemWorld(1).life(t), newMemWorld(2).life(t)
	for i := range first {
		if i >= len(again) || first[i] != again[i] {
			t.Fatalf("operation %d: %q, then %q", i, first[i], again[min(i, len(again)-1)])
		}
	}
	if len(first) != len(again) || slices.Equal(first, other) {
		t.Errorf("%d and %d operations with one seed, %d with another", len(first), len(again), len(other))
	}
	t.Logf("%d file operations", len(first))
}

// The power of the in-memory machine fails before each operation in turn: the next boot begins with a full
// snapshot and needs nothing of what is left.
func TestPowerLossLeavesNothingThatIsNeeded(t *testing.T) {
	want := content(3, 7)
	for at := 0; ; at += stride() {
		w := newMemWorld(uint64(at))
		check(t, w.mem.Mkdir("var", 0o755))
		calls := 0
		var image *fsx.Mem
		r, err := spool.OpenRoot("/var/spool/boule", 0, &spool.Options{
			Boot: instance.ID{Time: 1, UUID: bootAt(0, "1").UUID}, Now: w.clock, Rand: w.rand.Uint64,
			FS: func(dir string) (fsx.FS, error) { return w.mem.Sub(strings.TrimPrefix(dir, "/")) },
			WrapFS: func(base fsx.FS) fsx.FS {
				return fsx.Faulty(base, func(fsx.Op, string) error {
					if calls++; calls == at+1 {
						if image = w.mem.Crash(w.rand); at%2 == 0 {
							image = w.mem.Kill() // all that was written had reached the disk
						}
					}
					return nil
				})
			},
			Lstat: func(path string) (fsx.Info, error) { return w.mem.Stat(strings.TrimPrefix(path, "/")) },
		})
		check(t, err)
		p := producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
		check(t, snapshot(t, p, content(3, 1), 1))
		if image == nil {
			if at == 0 {
				t.Fatal("no operation was seen")
			}
			return
		}
		next := *w
		next.mem = image
		boot := instance.ID{Time: w.now.Unix() + 10, UUID: bootAt(0, "2").UUID}
		again := next.root(t, boot, "9.9")
		q := producer(t, again, spool.DB{Path: "/db", Dev: 1, Ino: 2})
		if _, err := q.Staged(name); err == nil {
			t.Fatalf("operation %d: the next boot sees what an earlier one staged", at)
		}
		check(t, snapshot(t, q, want, 2))
		again.CleanStale(spool.DB{})
		equal(t, drain(t, again, q.Key(), spooltest.NewRemote()), want)
	}
}

// The spool looks at databases, and opens none: closing one would drop the locks that the process holds on
// it by another VFS.
func TestSpoolNeverOpensTheDatabase(t *testing.T) {
	looks := 0
	for _, step := range newMemWorld(3).life(t) {
		if !strings.HasSuffix(step, " db") {
			continue
		}
		if looks++; !strings.HasSuffix(step, " stat db") {
			t.Errorf("%s", step)
		}
	}
	if looks == 0 {
		t.Error("nobody looked at the database")
	}
}
