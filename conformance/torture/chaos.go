//go:build linux

package main

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/boule-db/boule/store/target"
)

// chaos does what it can to the processes, the stores and the files of a round until ctx ends.
func (r *round) chaos(ctx context.Context) {
	var later sync.WaitGroup
	defer later.Wait()
	for ctx.Err() == nil {
		pause(ctx, time.Duration(30+r.rng.IntN(400))*time.Millisecond)
		r.reap()
		if ctx.Err() != nil {
			return
		}
		r.once(ctx, &later)
	}
}

// reap notes children that ended by themselves, and replaces them.
func (r *round) reap() {
	for i, p := range r.procs {
		if ended, err := p.ended(); ended {
			if err != nil {
				r.diverge("%v", err)
			}
			r.replace(i)
		}
	}
}

// replace starts the process again, with other random numbers.
func (r *round) replace(i int) {
	s := r.procs[i].spec
	s.Seed = r.rng.Uint64()
	s.Name = s.Kind + "-" + strconv.Itoa(r.next())
	p, err := r.start(s)
	if err != nil {
		r.fail(err)
		return
	}
	r.procs[i] = p
}

// once does one thing.
func (r *round) once(ctx context.Context, later *sync.WaitGroup) {
	switch n := r.rng.IntN(100); {
	case n < 36:
		r.killOne()
	case n < 50:
		r.stopOne(ctx, later)
	case n < 65 && r.s3 != nil:
		all := r.s3.weathers()
		r.s3.change(all[r.rng.IntN(len(all))])
	case n < 78 && r.file != nil:
		d := time.Duration(100+r.rng.IntN(3500)) * time.Millisecond
		if err := r.file.swap(true); err != nil {
			r.fail(err)
			return
		}
		later.Go(func() {
			pause(ctx, d)
			if err := r.file.swap(false); err != nil {
				r.fail(err)
			}
		})
	case n < 88 && r.plan.moves:
		op := pick(r.rng, "delete", "rename", "rename")
		s := r.spec("surgeon")
		s.Op, s.Slots = op, r.plan.slots[:1]
		later.Go(func() {
			if _, err := r.run(s, 2*busy); err != nil {
				r.diverge("%v", err)
			}
		})
	case n < 91 && r.plan.spoolGoes:
		// As by somebody who takes it for rubbish.
		_ = os.RemoveAll(filepath.Join(r.dir, "spool")) // others make files in it meanwhile
		r.h.fault("spool deleted")
	}
}

// killOne ends one process with SIGKILL and starts it again.
func (r *round) killOne() {
	if r.plan.spares {
		return
	}
	i := r.rng.IntN(len(r.procs))
	p := r.procs[i]
	if p.gentle() {
		return
	}
	if ended, err := p.ended(); ended {
		if err != nil {
			r.diverge("%v", err)
		}
	} else {
		p.kill()
		r.h.fault(p.spec.Kind + " killed")
	}
	r.replace(i)
}

// gentle says that the process must not be killed: it uses journal modes without a journal that would
// survive it, or names of a file beside which the next would not look for the journal.
func (p *proc) gentle() bool {
	if p.spec.Kind == "links" {
		return true
	}
	for _, mode := range p.spec.Writer.Modes {
		if mode == "MEMORY" || mode == "OFF" {
			return true
		}
	}
	return false
}

// stopOne stops one process for up to some seconds.
func (r *round) stopOne(ctx context.Context, later *sync.WaitGroup) {
	p := r.procs[r.rng.IntN(len(r.procs))]
	d := time.Duration(100+r.rng.IntN(4000)) * time.Millisecond
	p.signal(syscall.SIGSTOP)
	r.h.fault(p.spec.Kind + " stopped")
	later.Go(func() {
		pause(ctx, d)
		p.signal(syscall.SIGCONT)
	})
}

// A plan is what a round is made of.
type plan struct {
	slots []slot
	modes [][]string // of the writers
	wal   bool
	moves bool // databases are deleted and renamed
	// Nobody is killed who may leave a journal behind. With journal_mode=OFF SQLite does not roll such
	// a one back, but reads and writes over what the killed one left half done, and the next with a journal mode rolls that
	// back. So it does on its way from MEMORY to WAL, which leads through OFF.
	spares           bool
	spoolGoes        bool
	s3, file         bool
	s3Layout         target.Layout
	fileLayout       target.Layout
	inline, packSize int // of logs; see tuning
	maxBytes         int64
	flushes          bool // at the end by flush of the spool, else by sync of each database
	settle           bool // the stock program is the first to open the databases at the end
}

// mayFence says that a replica in a log may seem to be somebody else's for a minute: its database was replaced by
// another file, and the spool is not the one that it was uploaded from.
func (p *plan) mayFence() bool { return p.moves && p.spoolGoes }

var journaled = []string{"DELETE", "TRUNCATE", "PERSIST"}

// newPlan draws a plan. layout is that of all stores, unless it is empty.
func newPlan(rng *rand.Rand, layout target.Layout) plan {
	p := plan{
		slots: []slot{
			{Names: []string{"a.db", "a-moved.db"}, Link: "a-link.db"},
			{Names: []string{"b.db"}},
		},
		wal:       rng.IntN(2) == 0,
		spoolGoes: rng.IntN(3) == 0,
		maxBytes:  pick[int64](rng, 200<<10, 1<<20, 2<<20, 6<<20),
		flushes:   rng.IntN(2) == 0,
		settle:    rng.IntN(2) == 0,
	}
	// Not both: SQLite does not notice in WAL mode that a file was renamed, and whoever has it open by its
	// old name writes to another log than the others.
	p.moves = !p.wal && rng.IntN(4) > 0
	switch rng.IntN(3) {
	case 0:
		p.s3 = true
	case 1:
		p.file = true
	default:
		p.s3, p.file = true, true
	}
	for range 3 {
		p.modes = append(p.modes, [][]string{journaled, {"DELETE"}, {"TRUNCATE"}, {"PERSIST"}}[rng.IntN(4)])
	}
	// Nor this: without a journal of its own SQLite does not look whether the file was renamed. A connection
	// by the old name then writes over what a killed one by the new name left half done, and the
	// next by the new name rolls that back: so it is with SQLite's own program, too.
	switch {
	case p.moves:
	case rng.IntN(4) == 0:
		p.modes[2], p.spares = []string{"MEMORY", "OFF", "DELETE"}, true
	case rng.IntN(2) == 0 && !p.wal:
		p.modes[2] = []string{"MEMORY", "DELETE"}
	}
	for _, l := range []*target.Layout{&p.s3Layout, &p.fileLayout} {
		*l = pick(rng, target.LayoutChunks, target.LayoutLog)
		if layout != "" {
			*l = layout
		}
	}
	if rng.IntN(2) == 0 { // the databases are too small for packs otherwise
		p.inline = pick(rng, -1, 1000, 10_000)
		p.packSize = pick(rng, 5000, 50_000)
	}
	return p
}
