//go:build linux || darwin || freebsd

package wasmvfs_test

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/wasmvfs"
)

// A moment is one at which the power might go.
type moment struct {
	what  string
	acked int  // transactions whose COMMIT has returned
	idle  bool // none is going on
	mem   *fsx.Mem
}

// A powerTest runs the workload in one mode, and looks at what crashes leave.
type powerTest struct {
	t             *testing.T
	journal, sync string
	promised      string // the synchronous whose promise is to be kept; "" is sync
	forgetful     bool   // the disk
	stop          bool   // at the first failure
	rng           *rand.Rand
	sample        float64 // of the moments
	images        int     // of each power loss
	again         float64 // of the images, whose recovery is crashed too
	v             *verifier

	states  []string // after each transaction, from the empty database on
	moments []moment

	commits, points, checked, again2, unpromised int
	failures                                     []string
}

func (p *powerTest) rollsBack() bool {
	return p.journal == "DELETE" || p.journal == "TRUNCATE" || p.journal == "PERSIST"
}

// work runs the workload and takes the moments.
func (p *powerTest) work() {
	disk := &powerDisk{forgetful: p.forgetful}
	disk.put(fsx.NewMem(nil))
	name := register(p.t, wasmvfs.NewWith(nil, nil, wasmvfs.Seams{Inner: disk, System: disk}))
	c := open(p.t, name, "/main.db", "")
	acked := 0
	moment := func(what string, idle bool) {
		p.points++
		if p.rng.Float64() < p.sample || idle {
			p.moments = append(p.moments, p.newMoment(what, acked, idle, disk.mem))
		}
	}
	disk.changing = func(what string) { moment(what, false) }
	dbs := []string{"main"}
	if p.rollsBack() {
		exec(p.t, c, `ATTACH 'file:/aux.db?vfs=`+name+`' AS aux`)
		dbs = append(dbs, "aux")
	}
	exec(p.t, c, `PRAGMA temp_store=MEMORY`)
	for _, db := range dbs {
		exec(p.t, c, `PRAGMA `+db+`.page_size=1024; PRAGMA `+db+`.auto_vacuum=FULL; PRAGMA `+db+`.cache_size=6; PRAGMA `+db+`.cache_spill=6;`)
		if p.journal == "WAL" {
			exec(p.t, c, `PRAGMA `+db+`.locking_mode=EXCLUSIVE`)
		}
		wantRows(p.t, c, `PRAGMA `+db+`.journal_mode=`+p.journal, strings.ToLower(p.journal))
		exec(p.t, c, `PRAGMA `+db+`.synchronous=`+p.sync)
	}
	if p.journal == "WAL" {
		exec(p.t, c, `PRAGMA wal_autocheckpoint=20`)
	}
	state := func() string {
		s, err := stateOf(c, "main", "aux", p.rollsBack())
		if err != nil {
			p.t.Fatal(err)
		}
		return s
	}
	p.states = []string{state()}
	for i, s := range powerSteps {
		if s.attached && (!p.rollsBack() || p.sync == "OFF") || s.rollback && p.journal == "OFF" {
			continue
		}
		exec(p.t, c, "BEGIN; "+s.sql+"COMMIT;")
		acked++
		p.commits++
		p.states = append(p.states, state())
		if i == 0 && (p.journal == "MEMORY" || p.journal == "OFF") {
			disk.mem.SyncAll() // without a journal nobody syncs the directory of a new database
		}
		moment(fmt.Sprintf("idle after %d", i), true)
		if s.rollback {
			exec(p.t, c, "BEGIN; "+insert("t", 600, 620, 900)+update+"; ROLLBACK;")
		}
	}
	disk.changing = nil
	if err := c.Close(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *powerTest) newMoment(what string, acked int, idle bool, mem *fsx.Mem) moment {
	return moment{fmt.Sprintf("%s, point %d, acknowledged %d", what, p.points, acked), acked, idle, mem.Kill()}
}

// crash crashes at each moment in many ways.
func (p *powerTest) crash() {
	for _, m := range p.moments {
		if p.stop && len(p.failures) > 0 {
			return
		}
		p.judge(m, killed, "", m.mem.Kill())
		n := len(m.mem.Unsynced())
		for range p.images / 2 {
			kept := p.rng.IntN(n + 1)
			p.judge(m, ordered, fmt.Sprintf("%d of %d", kept, n), orderedImage(m.mem, kept))
		}
		if !p.promise(power, m).any {
			p.unpromised++
			continue
		}
		for name, img := range m.mem.Images(4+p.images, p.rng) {
			p.judge(m, power, name, img)
		}
	}
}

func (p *powerTest) promise(l loss, m moment) promise {
	return promised(p.journal, cmp.Or(p.promised, p.sync), l, m.idle)
}

// orderedImage returns what is left when exactly the first changes are kept.
func orderedImage(mem *fsx.Mem, kept int) *fsx.Mem {
	i := 0
	return mem.CrashKeeping(func(fsx.Change) fsx.Fate {
		i++
		if i <= kept {
			return fsx.Kept
		}
		return fsx.Lost
	})
}

// judge recovers an image and says whether the promise is kept.
func (p *powerTest) judge(m moment, l loss, image string, img *fsx.Mem) {
	want := p.promise(l, m)
	if !want.any {
		p.unpromised++
		return
	}
	allowed := p.states[max(0, m.acked-want.lost):min(m.acked+2, len(p.states))]
	if m.idle {
		allowed = p.states[max(0, m.acked-want.lost) : m.acked+1]
	}
	fail := func(format string, args ...any) {
		p.failures = append(p.failures, fmt.Sprintf("%s %s, before %q, %v %s: ", p.journal, p.sync, m.what, l, image)+fmt.Sprintf(format, args...))
	}
	var later []*fsx.Mem
	var during func(string)
	if p.rng.Float64() < p.again {
		during = func(string) { later = append(later, p.v.disk.mem.Kill()) }
	}
	p.checked++
	check := func(what string, img *fsx.Mem, during func(string)) {
		state, err := p.v.state(img, during, p.journal == "WAL", p.rollsBack())
		if err != nil {
			fail("%s%v", what, err)
		} else if !slices.Contains(allowed, state) {
			which := slices.Index(p.states, state)
			fail("%sfound state %d (%s)", what, which, state)
		}
	}
	check("", img, during)
	// The power goes again while SQLite recovers.
	for i, at := range later {
		if p.rng.IntN(4) > 0 && i > 0 {
			continue
		}
		p.again2++
		op := fmt.Sprintf("crash before operation %d of the recovery: ", i)
		switch l {
		case killed:
			check(op, at, nil)
		case ordered:
			check(op, orderedImage(at, p.rng.IntN(len(at.Unsynced())+1)), nil)
		default:
			check(op, at.Crash(p.rng), nil)
		}
	}
}

var (
	powerSeed   = flag.Uint64("power.seed", 0, "of TestPowerLoss; 0 takes a new one")
	powerSample = flag.Float64("power.sample", 0.03, "share of the crash points that TestPowerLoss tries")
)

func TestPowerLoss(t *testing.T) {
	seed := *powerSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	var commits, points, moments, images, recoveries, unpromised int
	for _, journal := range []string{"DELETE", "TRUNCATE", "PERSIST", "WAL", "MEMORY", "OFF"} {
		for i, sync := range []string{"OFF", "NORMAL", "FULL", "EXTRA"} {
			t.Run(journal+"/"+sync, func(t *testing.T) {
				p := &powerTest{
					t: t, journal: journal, sync: sync, v: newVerifier(t),
					rng:    rand.New(rand.NewPCG(seed, uint64(len(journal)*10+i))),
					sample: *powerSample, images: 4, again: 0.05,
				}
				if testing.Short() {
					p.sample /= 5
				}
				p.work()
				p.crash()
				for i, f := range p.failures {
					if i == 10 {
						t.Errorf("and %d more", len(p.failures)-i)
						break
					}
					t.Error(f)
				}
				t.Logf("%d commits, %d crash points of %d, %d images, %d crashes of a recovery, %d without a promise",
					p.commits, len(p.moments), p.points, p.checked, p.again2, p.unpromised)
				commits, points, moments = commits+p.commits, points+p.points, moments+len(p.moments)
				images, recoveries, unpromised = images+p.checked, recoveries+p.again2, unpromised+p.unpromised
			})
		}
	}
	t.Logf("in all %d commits, %d crash points of %d, %d images, %d crashes of a recovery, %d without a promise",
		commits, moments, points, images, recoveries, unpromised)
}

// TestPowerLossCanFail shows that the test above finds what it is there for.
func TestPowerLossCanFail(t *testing.T) {
	tests := []struct {
		name                    string
		journal, sync, promised string
		forgetful               bool
	}{
		// The fault of the os VFS of go-sqlite3 v0.32.0: a half-written database loses its
		// journal.
		{"directory of a new journal not synced", "DELETE", "FULL", "FULL", true},
		{"the same, removals synced", "DELETE", "EXTRA", "EXTRA", true},
		{"directory of a new WAL not synced", "WAL", "FULL", "FULL", true},
		{"directory not synced after a removal", "DELETE", "FULL", "EXTRA", false},
		{"no sync", "DELETE", "OFF", "FULL", false},
		{"WAL not synced at each commit", "WAL", "NORMAL", "FULL", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := &powerTest{
				t: t, journal: test.journal, sync: test.sync, promised: test.promised, forgetful: test.forgetful, stop: true,
				v: newVerifier(t), rng: rand.New(rand.NewPCG(1, 2)), sample: 0.3, images: 4,
			}
			p.work()
			p.crash()
			if len(p.failures) == 0 {
				t.Fatalf("nobody noticed in %d images", p.checked)
			}
			t.Logf("after %d images: %s", p.checked, p.failures[0])
		})
	}
}
