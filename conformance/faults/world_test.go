//go:build unix

package faults_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/boule-db/boule/conformance/spooltest"
	"github.com/boule-db/boule/doctor"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/internal/fsx/faultloop"
	"github.com/boule-db/boule/internal/instance"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

const (
	cs     = manifest.ChunkSize
	prefix = "/spool"
	host   = "host.example"
)

var target = spool.Target{ID: "0123456789abcdef", Spec: json.RawMessage(`{"file":{"directory":"/nowhere"},"layout":"chunks"}`)}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A machine has a disk for spools, which loses on a crash what was not synced, and a boot.
type machine struct {
	*testing.T
	mem    *fsx.Mem
	boot   instance.ID
	plan   *fsx.Plan
	armed  bool // the plan is in force
	rec    *doctor.Recorder
	watch  *doctor.Observer
	cache  *doctor.Cache
	lives  int
	remote *spooltest.Remote
}

func newMachine(t *testing.T, plan *fsx.Plan) *machine {
	return &machine{
		T: t, mem: fsx.NewMem(nil), boot: bootID(1), plan: plan, rec: &doctor.Recorder{},
		watch: doctor.NewObserver(nil), cache: doctor.NewCache(), remote: spooltest.NewRemote(),
	}
}

func bootID(n int) instance.ID {
	return instance.ID{Time: int64(1000 * n), UUID: fmt.Sprintf("%08d-0000-0000-0000-000000000000", n)}
}

// root opens the spools as an actor does, whose file operations the plan is about if it is
// to suffer.
func (m *machine) root(actor doctor.Actor, suffers bool) *spool.Root {
	m.Helper()
	mem := m.mem
	open := func(dir string) (fsx.FS, error) {
		if dir = strings.TrimPrefix(dir, "/"); dir == "" {
			dir = "."
		}
		return mem.Sub(dir)
	}
	root, err := spool.OpenRoot(prefix, 0, &spool.Options{
		FS: open, Boot: m.boot, Hostname: host, ScratchAge: -1,
		Lstat: func(path string) (fsx.Info, error) {
			if strings.HasPrefix(path, prefix) {
				if suffers && m.armed {
					if err := m.plan.Inject(fsx.OpStat, path); err != nil {
						return fsx.Info{}, err
					}
				}
				return mem.Stat(strings.TrimPrefix(path, "/"))
			}
			if strings.HasPrefix(path, "/data/") { // databases that are made up
				return fsx.Info{Dev: 1, Ino: 2}, nil
			}
			return fsx.Lstat(path)
		},
		WrapFS: func(f fsx.FS) fsx.FS {
			f = m.rec.FS(actor, f)
			if suffers {
				f = fsx.Faulty(f, func(op fsx.Op, name string) error {
					if !m.armed {
						return nil
					}
					return m.plan.Inject(op, name)
				})
			}
			return f
		},
	})
	check(m, err)
	return root
}

// actor is that of a new life of the process.
func (m *machine) actor(role doctor.Role) doctor.Actor {
	return doctor.Actor{Role: role, Process: m.lives, Name: "a"}
}

// state sees everything.
func (m *machine) state() *doctor.State {
	stores := m.rec.Stores()
	if m.remote != nil {
		stores = map[string]*doctor.Stored{target.ID: m.remote.Stored}
	}
	base, err := m.mem.Sub(strings.TrimPrefix(prefix, "/"))
	if errors.Is(err, fs.ErrNotExist) {
		return &doctor.State{Stores: stores}
	}
	check(m, err)
	defer base.Close()
	return &doctor.State{Tree: doctor.Look(base, "boule-"+m.boot.String()+"-v2", m.cache), Stores: stores}
}

// judge fails the test if an invariant does not hold.
func (m *machine) judge(when string) {
	m.Helper()
	for _, v := range m.watch.Step(m.state(), m.rec.Take()...) {
		m.Errorf("%s: %v", when, v)
	}
}

// die ends the life of all processes, and with it maybe that of the system.
func (m *machine) die(system bool) {
	m.armed = false
	m.lives++
	if !system {
		m.mem = m.mem.Kill()
		return
	}
	m.mem = m.mem.Crash(rand.New(rand.NewPCG(uint64(m.plan.Calls()), 1)))
	m.boot = bootID(2 + m.lives)
	m.rec.Take()
	m.watch.Reboot()
	m.cache = doctor.NewCache()
}

// toy returns the least copier.
func (m *machine) toy(key spool.Key) *spooltest.Toy {
	actor := m.actor(doctor.Consumer)
	actor.Process += 1000 // of a process of its own
	root := m.root(actor, false)
	return spooltest.NewToy(m.remote, func() (*spool.Consumer, error) { return root.Consumer(key) })
}

// uploaded lets the toy upload all, and compares.
func (m *machine) uploaded(key spool.Key, name string, want []byte) {
	m.Helper()
	toy := m.toy(key)
	for range 2 {
		check(m, toy.Pass())
		m.judge("after a pass")
	}
	for _, v := range toy.Violations() {
		m.Error(v)
	}
	for _, v := range m.watch.Rest(m.state(), m.rec.Take()...) {
		m.Errorf("at rest: %v", v)
	}
	got, err := m.remote.Restore(m.remote.Manifests[name])
	check(m, err)
	if !bytes.Equal(got, want) {
		m.Errorf("restored %d bytes, which are not the %d of the database", len(got), len(want))
	}
}

// each runs body with a fault in every place: an error there, and a death. It returns the number of
// runs. By default the errors take turns, and so do a boot that goes on and one that ends; with
// BOULE_FAULTS=all each place gets each of them.
func each(t *testing.T, body func(t *testing.T, plan *fsx.Plan, dies, reboots bool)) (runs int) {
	t.Helper()
	if os.Getenv("BOULE_FAULTS") == "all" {
		runs = faultloop.Run(t, func(t *testing.T, plan *fsx.Plan) { body(t, plan, false, false) })
		for _, reboots := range []bool{false, true} {
			t.Run(fmt.Sprintf("dies, reboot %v", reboots), func(t *testing.T) {
				runs += faultloop.Crash(t, func(t *testing.T, plan *fsx.Plan) { body(t, plan, true, reboots) })
			})
		}
		return runs
	}
	for _, dies := range []bool{false, true} {
		for i, more := 0, true; more && !t.Failed(); i++ {
			e := faultloop.Errors[i%len(faultloop.Errors)]
			plan, what := fsx.FailAt(i, e.Err), e.Name
			if dies {
				plan, what = fsx.CrashAt(i), "dies"
			}
			t.Run(fmt.Sprintf("%s at %d", what, i), func(t *testing.T) { body(t, plan, dies, i%2 == 1) })
			runs++
			if more = plan.Hit() != ""; plan.Calls() == 0 {
				t.Error("there was no file operation at all")
			}
			if t.Failed() {
				t.Logf("the fault was at %q", plan.Hit())
			}
		}
	}
	return runs
}

// content is a database of some chunks.
func content(chunks int, seed byte) []byte {
	data := make([]byte, chunks*cs-1000)
	for i := range chunks {
		data[i*cs+500] = byte(i + 1)
		data[i*cs+501] = seed
	}
	return data
}

func part(data []byte, i int) []byte { return data[i*cs : min((i+1)*cs, len(data))] }

func TestMain(m *testing.M) {
	// The zstd coders make their channels when first used: that must be outside of bubbles.
	chunk := []byte("warm up")
	if _, err := manifest.DecompressChunk(manifest.Compress(chunk), manifest.Sum(chunk)); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
