package boule

import (
	"context"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule/host"
	"github.com/boule-db/boule/tracker"
)

const (
	// repairInterval is how often databases are looked at that could not be opened.
	repairInterval = time.Second

	// repairPace is the least time between two looks for databases that are due, of
	// which the tracker has to go through all that it knows.
	repairPace = 50 * time.Millisecond

	// repairBusy is how long a repair waits for a lock: others wait for the repair.
	repairBusy = time.Second

	// repairRace is how long one database is repaired before the next gets its turn.
	repairRace = 500 * time.Millisecond

	// pruneInterval is how often spools are looked for that are gone.
	pruneInterval = time.Minute

	maxRepairPause = time.Minute
	maxVisits      = 4096 // that wait; more are left to the next write
)

// repairs takes the snapshots that no commit takes: of databases seen for the
// first time or changed by others, and again those that failed.
type repairs struct {
	e      *engine
	visits chan string // databases to look at
	cancel context.CancelFunc
	done   chan struct{}

	// Databases that could not be looked at. The tracker, which never saw them,
	// does not remember them.
	again map[string]*attempt
}

type attempt struct {
	at    time.Time
	pause time.Duration
}

func (e *engine) startRepairs() *repairs {
	ctx, cancel := context.WithCancel(context.Background())
	r := &repairs{
		e:      e,
		visits: make(chan string, maxVisits),
		cancel: cancel,
		done:   make(chan struct{}),
		again:  map[string]*attempt{},
	}
	go r.run(ctx)
	return r
}

// stop ends the repairs, and waits for the one under way.
func (r *repairs) stop() {
	r.cancel()
	<-r.done
}

func (r *repairs) run(ctx context.Context) {
	defer close(r.done)
	tick := time.NewTicker(repairInterval)
	defer tick.Stop()
	due := time.NewTimer(0)
	defer due.Stop()
	pruned, looked := time.Now(), time.Now()
	for {
		var paths []string
		look := false
		select {
		case <-ctx.Done():
			return
		case path := <-r.visits:
			paths = append(paths, path)
		case <-tick.C:
			for path, a := range r.again {
				if !a.at.After(time.Now()) {
					paths = append(paths, path)
				}
			}
			if time.Since(pruned) > pruneInterval {
				r.e.prune(ctx)
				pruned = time.Now()
			}
		case <-r.e.manager.Wake():
			due.Reset(r.nextLook(looked))
		case <-due.C:
			look = true
			paths = r.e.manager.Behind()
		}
		for _, path := range paths {
			if ctx.Err() != nil {
				return
			}
			r.race(ctx, path)
		}
		if look {
			looked = time.Now()
			due.Reset(r.nextLook(looked))
		}
	}
}

// nextLook returns how long to wait before the next look for databases that are due. It depends on when the last one was and not on
// when it is called: who commits all the time must not put it off all the time.
func (r *repairs) nextLook(last time.Time) time.Duration {
	next, some := r.e.manager.NextDue()
	if !some {
		return repairInterval
	}
	return max(time.Until(next), time.Until(last.Add(repairPace)))
}

// race repairs a database, again and again as long as its snapshot has just given way to a writer: who comes back late has lost
// what the writer did meanwhile. Other databases wait for that.
func (r *repairs) race(ctx context.Context, path string) {
	end := time.Now().Add(repairRace)
	for last := (time.Time{}); ; {
		r.repair(ctx, path)
		at, putOff := r.e.manager.PutOffUntil(path)
		now := time.Now()
		if !putOff || at.Equal(last) || at.After(now.Add(repairPace)) || now.After(end) || r.again[path] != nil {
			return // in particular if nothing came of it
		}
		last = at
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(at)):
		}
	}
}

func (r *repairs) repair(ctx context.Context, path string) {
	err := r.e.evaluate(ctx, path, repairBusy, "boule_yield=1")
	if err == nil || exists(path) != nil {
		delete(r.again, path)
		return
	}
	r.e.log.Debug("repair snapshot", "db", path, "error", err)
	a := r.again[path]
	if a == nil {
		a = &attempt{pause: repairInterval / 2}
		r.again[path] = a
	}
	a.pause = min(2*a.pause, maxRepairPause)
	a.at = time.Now().Add(a.pause)
}

// visit has a database looked at that was opened just now, but has been open
// before: others may have written to it meanwhile, and something may wait in its
// spool. (A database that was never seen the tracker has looked at by itself.)
// What is in the copier's care already is visited only if always is set.
func (e *engine) visit(file string, always bool) {
	if e.root == nil {
		return
	}
	path := CanonicalPath(file)
	h, ok := e.manager.Health(path)
	if !ok {
		return
	}
	switch h.State {
	case tracker.StateWAL, tracker.StateUntracked, tracker.StateUnknown: // unknown: about to be looked at
		return
	}
	if !always && e.cares(path) {
		return
	}
	engines.Lock()
	r := e.repairs
	engines.Unlock()
	if r == nil {
		return
	}
	select {
	case r.visits <- path:
	default:
	}
}

// cares says whether all spools of a database are in the copier's care.
func (e *engine) cares(path string) bool {
	keys := e.manager.Keys(path)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, key := range keys {
		if _, ok := e.added[key]; !ok {
			return false
		}
	}
	return true
}

// evaluate makes the tracker look at the database, and stage it if it must: it
// opens a connection of its own and reads something, since the end of a read is
// where a snapshot can be taken. It waits for locks for as long as busy.
func (e *engine) evaluate(ctx context.Context, path string, busy time.Duration, params ...string) error {
	name := dsn(path, e.vfsName, append(params, "boule_eager=1", "mode=rw")...)
	conn, err := host.Open(ctx, name, sqlite3.OPEN_READWRITE|sqlite3.OPEN_URI)
	if err != nil {
		return err
	}
	defer conn.Close()
	old := conn.SetInterrupt(ctx)
	defer conn.SetInterrupt(old)
	if err := conn.BusyTimeout(busy); err != nil {
		return err
	}
	return conn.Exec(`SELECT count(*) FROM sqlite_schema`)
}
