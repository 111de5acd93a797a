package tracker_test

import (
	"bytes"
	"io/fs"
	"math/rand"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/tracker"
)

// machine is a random history of a database.
type machine struct {
	*world
	conns   []*conn
	rng     *rand.Rand
	faults  float64 // how likely a file operation fails
	dead    bool    // the process is being killed: nothing works any more
	busy    bool    // the copier is at work
	foreign bool    // a stranger wrote, and nobody of ours has looked since
	other   other   // another process
	alone   bool    // the other process cannot look now
	undo    []byte  // content before a transaction that failed; nil if there is none
}

// other is a process that does not do anything now, but may look at the database.
type other struct {
	m     *tracker.Manager // nil: there is none yet
	conns []*conn
}

// Whatever happens, what is staged or uploaded is complete at every moment, spools are bounded,
// and once everything has settled, replicas are exact.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		check(rt, err)
		defer os.RemoveAll(dir)
		targets := []spool.Target{targetA, targetB}[:rapid.IntRange(1, 2).Draw(rt, "targets")]
		m := &machine{
			world: newWorld(rt, dir, targets...),
			rng:   rand.New(rand.NewSource(rapid.Int64().Draw(rt, "seed"))),
		}
		m.noAttr = rapid.Bool().Draw(rt, "no attributes")
		if rapid.Bool().Draw(rt, "bursts") {
			m.window = time.Hour // put off until somebody looks
		}
		m.commitChunks = rapid.SampledFrom([]int{0, 1, 3}).Draw(rt, "chunks in a commit")
		m.maxAhead = rapid.IntRange(0, 3).Draw(rt, "chunks read ahead")
		if m.maxAhead > 0 {
			m.patience = time.Hour // or until there is no room
		}
		m.overrides = rapid.SampledFrom([]int{0, 1, 3}).Draw(rt, "overrides")
		m.inject = m.fault
		m.restart()
		m.reopen(rapid.IntRange(1, 3).Draw(rt, "connections"))
		defer func() {
			for _, c := range append(m.conns, m.other.conns...) {
				c.Close()
			}
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"write":       m.doWrite,
			"write again": m.doWrite,
			"exclusive":   m.doExclusive,
			"roll back":   m.doRollBack,
			"fail":        m.doFail,
			"stranger":    m.doStranger,
			"untracked":   m.doUntracked,
			"kill":        m.doKill,
			"exit":        m.doExit,
			"copy":        m.doCopy,
			"copier dies": m.doCopierDies,
			"faults":      m.doFaults,
			"repair":      func(*rapid.T) { m.quiet(func() { m.repair() }) },
			"look":        func(*rapid.T) { m.quiet(func() { m.visit(tracker.Eager) }) },
			"give way":    m.doGiveWay,
			"desync":      m.doDesync,
			"wal":         m.doWAL,
			"switch":      m.doSwitch,
			"settle":      m.doSettle,
			"":            func(*rapid.T) { m.judge() },
		})
		m.doSettle(rt)
	})
}

// fault stands before each file operation of the producers.
func (m *machine) fault(op fsx.Op, name string) error {
	if m.dead {
		return &fs.PathError{Op: string(op), Path: name, Err: syscall.EIO}
	}
	if !m.busy && m.rng.Intn(4) == 0 {
		m.busy = true
		m.step()
		m.busy = false
	}
	if m.other.m != nil && !m.alone && strings.Contains(name, "staging/chunks") && string(op) != "link" && m.rng.Intn(20) == 0 {
		m.alone = true
		m.lookIn(m.other.m)
		m.alone = false
	}
	if m.rng.Float64() < m.faults {
		return &fs.PathError{Op: string(op), Path: name, Err: syscall.ENOSPC}
	}
	return nil
}

// lookIn is a repair of another process, which may look whenever this one holds no more than SHARED.
func (m *machine) lookIn(other *tracker.Manager) {
	mine := m.m
	m.m = other
	m.visitor(m.rng.Intn(12))
	m.m = mine
}

// doSwitch lets the other process go on.
func (m *machine) doSwitch(t *rapid.T) {
	now := other{m.m, m.conns}
	if m.other.m == nil {
		m.restart()
		m.conns = nil
		m.reopen(rapid.IntRange(1, 2).Draw(t, "connections"))
	} else {
		m.m, m.conns = m.other.m, m.other.conns
	}
	m.other = now
	m.foreign = true // until somebody here has looked
}

func (m *machine) step() {
	target := m.targets[m.rng.Intn(len(m.targets))]
	_, err := m.toys[target.ID].Step()
	check(m.tb, err)
}

func (m *machine) reopen(n int) {
	for _, c := range m.conns {
		c.Close()
	}
	m.conns = nil
	for range n {
		m.conns = append(m.conns, m.open(tracker.Normal))
	}
}

func (m *machine) pick(t *rapid.T) *conn {
	return m.conns[rapid.IntRange(0, len(m.conns)-1).Draw(t, "connection")]
}

// begin takes EXCLUSIVE, and first rolls back what failed, as SQLite does.
func (m *machine) begin(c *conn) {
	c.t.LockedExclusive()
	if m.undo == nil {
		return
	}
	if size := int64(len(m.undo)); size > 0 {
		c.write(0, m.undo)
	}
	c.truncate(int64(len(m.undo)))
	m.unjournal()
	m.undo = nil
	c.unlock()
	c.t.LockedExclusive()
}

// changes writes what a transaction may write, but not the header.
func (m *machine) changes(t *rapid.T, c *conn) {
	for range rapid.IntRange(0, 3).Draw(t, "writes") {
		size := must(c.Size())
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0: // a page
			c.write(m.rng.Int63n(size+1)/512*512, m.noise(512))
		case 1: // a whole chunk
			c.write(m.rng.Int63n(size/chunk+1)*chunk, m.noise(chunk))
		case 2: // grow
			if size < 8*chunk {
				c.write(size, m.noise(1+m.rng.Intn(2*chunk)))
			}
		case 3: // shrink
			if size > 512 {
				c.truncate(512 + m.rng.Int63n(size-511))
			}
		case 4: // grow by truncation
			if size < 8*chunk {
				c.truncate(size + m.rng.Int63n(2*chunk))
			}
		case 5: // zeros
			c.write(m.rng.Int63n(size/chunk+1)*chunk, make([]byte, chunk))
		}
	}
}

func (m *machine) noise(n int) []byte {
	data := make([]byte, n)
	m.rng.Read(data)
	return data
}

func (m *machine) doWrite(t *rapid.T) {
	c := m.pick(t)
	m.begin(c)
	m.changes(t, c)
	c.header()
	c.unlock()
	m.foreign = false
}

func (m *machine) doExclusive(t *rapid.T) {
	m.alone = true
	defer func() { m.alone = false }()
	c := m.pick(t)
	m.begin(c)
	for range rapid.IntRange(1, 3).Draw(t, "transactions") {
		m.changes(t, c)
		c.header()
		if rapid.Bool().Draw(t, "noticed") {
			c.settle(tracker.Exclusive)
		}
	}
	c.unlock()
	m.foreign = false
}

// doRollBack is a transaction that spills pages and undoes that.
func (m *machine) doRollBack(t *rapid.T) {
	c := m.pick(t)
	m.begin(c)
	before := m.bytes()
	m.changes(t, c)
	if len(before) > 0 {
		c.write(0, before)
	}
	c.truncate(int64(len(before)))
	c.unlock()
}

// doFail is a transaction that ends with a hot journal.
func (m *machine) doFail(t *rapid.T) {
	c := m.pick(t)
	m.begin(c)
	m.undo = m.bytes()
	m.journal(append(bytes.Clone(magic), "pages"...))
	m.changes(t, c)
	c.header()
	c.unlock()
}

// stock is a program that does not use Boule.
func (m *machine) doStranger(t *rapid.T) {
	if m.undo != nil {
		return
	}
	f, err := os.OpenFile(m.path, os.O_RDWR, 0)
	check(m.tb, err)
	defer f.Close()
	size := must(f.Stat()).Size()
	if size > 0 {
		_, err = f.WriteAt(m.noise(100), m.rng.Int63n(size))
		check(m.tb, err)
	}
	_, err = f.WriteAt(m.nextHeader(), 0)
	check(m.tb, err)
	m.grown()
	m.foreign = true
}

func (m *machine) doUntracked(t *rapid.T) {
	opts := &tracker.Options{}
	if m.noAttr {
		opts.WithoutAttr()
	}
	c := m.openWith(tracker.New(opts), tracker.Normal)
	defer c.close()
	m.begin(c)
	m.changes(t, c)
	c.header()
	m.foreign = true
}

// doKill kills the process at some operation of a commit.
func (m *machine) doKill(t *rapid.T) {
	c := m.pick(t)
	m.begin(c)
	m.changes(t, c)
	c.header()
	left := rapid.IntRange(0, 60).Draw(t, "operations")
	m.inject = func(op fsx.Op, name string) error {
		left--
		m.dead = left < 0
		return m.fault(op, name)
	}
	c.unlock()
	m.inject, m.dead = m.fault, false
	m.restart()
	m.reopen(len(m.conns))
}

func (m *machine) doExit(t *rapid.T) {
	for _, c := range m.conns {
		c.t.Close()
	}
	m.restart()
	m.reopen(len(m.conns))
}

func (m *machine) doCopy(t *rapid.T) {
	for range rapid.IntRange(1, 40).Draw(t, "steps") {
		m.step()
	}
}

func (m *machine) doCopierDies(*rapid.T) {
	for _, toy := range m.toys {
		toy.Crash()
	}
}

func (m *machine) doFaults(t *rapid.T) {
	m.faults = rapid.SampledFrom([]float64{0, 0.01, 0.1, 1}).Draw(t, "faults")
}

func (m *machine) quiet(f func()) {
	faults := m.faults
	m.faults = 0
	f()
	m.faults = faults
}

// doGiveWay is a repair that somebody has to wait for.
func (m *machine) doGiveWay(t *rapid.T) {
	left := rapid.IntRange(0, 8).Draw(t, "chunks")
	writes := rapid.IntRange(0, 3).Draw(t, "transactions meanwhile")
	m.visitorAnd(left, func() {
		for range writes {
			if len(m.bytes()) == 0 || m.undo != nil || len(m.conns) == 0 {
				return // it would have to wait
			}
			if rapid.IntRange(0, 5).Draw(t, "stranger") == 0 {
				m.doStranger(t)
			}
			m.doWrite(t)
		}
	})
}

// doDesync loses what is in a store, and says so.
func (m *machine) doDesync(t *rapid.T) {
	target := m.targets[m.rng.Intn(len(m.targets))].ID
	for range 2 { // so that nothing half uploaded needs what is lost
		check(m.tb, m.toys[target].Pass())
	}
	remote := m.remotes[target]
	clear(remote.Chunks)
	clear(remote.Manifests)
	m.busy, m.alone = true, true // a real copier uploads nothing now either
	m.quiet(func() { m.m.Desync(m.key(target), nil) })
	m.busy, m.alone = false, false
}

// doWAL switches to WAL mode and back.
func (m *machine) doWAL(t *rapid.T) {
	c := m.pick(t)
	m.begin(c)
	c.header()
	c.write(18, []byte{2, 2})
	c.unlock()
	m.changes(t, c) // a checkpoint, under SHARED
	c.write(0, append(m.nextHeader()[:18], 2, 2))
	c.unlock()
	m.visit(tracker.Eager)
	c.t.LockedExclusive()
	c.header()
	c.unlock()
	m.foreign = false
}

// doSettle lets everything come to rest.
func (m *machine) doSettle(t *rapid.T) {
	m.quiet(func() {
		if m.undo != nil {
			c := m.pick(t)
			m.begin(c)
			c.unlock()
		}
		m.alone = true
		defer func() { m.alone = false }()
		if m.other.m != nil { // it may have something to do yet
			mine := m.m
			m.m = m.other.m
			m.visit(tracker.Eager)
			m.m = mine
			m.foreign = true
		}
		if m.foreign || m.window > 0 || m.commitChunks > 0 {
			m.visit(tracker.Eager)
			m.foreign = false
		}
		m.repair()
		if len(m.bytes()) == 0 {
			return
		}
		m.uploaded()
		for _, target := range m.targets {
			m.staged(target.ID)
		}
		if h := m.health(); h.State != tracker.StateOK {
			m.Errorf("state is %s: %v", h.State, h.LastError)
		}
		if n := m.health().ScrubMismatches; n > 0 {
			m.Errorf("%d chunks changed without a notice", n)
		}
		m.peak = must(os.Stat(m.path)).Size()
	})
	if strings.Contains(m.log.String(), "panic") {
		m.Fatal(m.log.String())
	}
}
