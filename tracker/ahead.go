package tracker

import (
	"errors"
	"slices"
	"sync"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// maxAhead bounds the chunks that are read before those before them are staged, and with that the memory: 8 MiB.
const maxAhead = 128

// An ahead is what a snapshot has read and not staged yet. As long as writers wait for it a snapshot only reads; it makes the files,
// which takes far longer, when it has given way.
type ahead struct {
	chunks []readChunk
	spare  *[manifest.ChunkSize]byte // to read the next into
}

type readChunk struct {
	f     manifest.Fingerprint
	data  []byte
	in    *[manifest.ChunkSize]byte
	plans []*plan // that need it
}

// room returns a buffer for the next chunk.
func (a *ahead) room() *[manifest.ChunkSize]byte {
	if a.spare == nil {
		a.spare = buffers.Get().(*[manifest.ChunkSize]byte)
	}
	return a.spare
}

// add notes that the plans need what is in room.
func (a *ahead) add(f manifest.Fingerprint, n int, plans []*plan) {
	a.chunks = append(a.chunks, readChunk{f, a.spare[:n], a.spare, plans})
	a.spare = nil
}

// stage stages chunks, in the order in which they were read, until it has to stop.
func (a *ahead) stage(stop func() bool) {
	for k, c := range a.chunks {
		if k > 0 && stop() {
			a.chunks = slices.Delete(a.chunks, 0, k)
			return
		}
		for _, p := range c.plans {
			if p.err == nil {
				p.stage(c.f, c.data)
			}
		}
		a.reuse(c.in)
	}
	a.chunks = a.chunks[:0]
}

func (a *ahead) reuse(b *[manifest.ChunkSize]byte) {
	if a.spare == nil {
		a.spare = b
		return
	}
	buffers.Put(b)
}

// release gives the buffers back.
func (a *ahead) release() {
	for _, c := range a.chunks {
		buffers.Put(c.in)
	}
	if a.spare != nil {
		buffers.Put(a.spare)
	}
	*a = ahead{}
}

// A rest is what a snapshot that gave way does after the lock is released: nobody has to wait for it any more. Until it is done its
// Tracker holds staging.
type rest struct {
	ahead *ahead
	plans []*plan // that gave way
}

// A meanwhile is what connections of this process write from when a snapshot gave way until it has done its rest. They would have to
// wait for that, under their lock, to note it in the deferred snapshot.
type meanwhile struct {
	writers sync.WaitGroup // who are about to note something

	// Guarded by database.mu.
	id   []byte // of the database
	left dirtySet
	any  bool // somebody wrote
	lost bool // somebody wrote who is not known
}

// leaveRest leaves to [Tracker.Unlocked] what the plans that gave way have still to do.
func (t *Tracker) leaveRest(v view, plans []*plan, a *ahead) {
	t.rest = &rest{a, plans}
	w := &meanwhile{id: v.id}
	w.left.reset()
	t.db.mu.Lock()
	t.db.meanwhile = w
	t.db.mu.Unlock()
}

// Unlocked says that the lock has been released under which [Tracker.Snapshot] was called, and that nobody waits for it any more. An Eager
// tracker, whose snapshot gave way, stages now what it has read: a commit of another connection does not wait for that. If that fails the
// next snapshot begins anew.
func (t *Tracker) Unlocked() {
	r := t.rest
	if r == nil {
		return
	}
	t.rest = nil
	defer t.Unclaim()
	defer t.db.endMeanwhile()
	t.guard("stage after giving way", func() { t.do(r) }, func(err error) {
		for _, p := range r.plans {
			p.ts.hot = nil
			t.db.fail(p.ts, err)
		}
	})
}

func (t *Tracker) do(r *rest) {
	r.ahead.stage(func() bool { return false })
	r.ahead.release()
	for _, p := range r.plans {
		p.tidy(t.db.name)
		if p.err == nil {
			continue
		}
		p.ts.hot = nil // it counts on what was not staged
		if !errors.Is(p.err, spool.ErrVanished) {
			t.db.fail(p.ts, p.err)
		}
	}
}

// endMeanwhile adds what was written to the deferred snapshot. The caller holds staging.
func (d *database) endMeanwhile() {
	d.mu.Lock()
	w := d.meanwhile
	d.meanwhile = nil
	d.mu.Unlock()
	// Who would go on now would be in the way of those who are about to note something, and not know that they wait.
	w.writers.Wait()
	switch {
	case !w.any:
	case w.lost || d.deferred == nil:
		if d.deferred != nil {
			d.loseDeferred()
		}
		for _, ts := range d.targets {
			d.distrust(ts)
		}
		d.again()
	default:
		d.deferred.id = w.id
		d.deferred.left.merge(&w.left)
	}
}

// join makes the connection one of those who write meanwhile, if a snapshot that gave way is at its rest. Then it must leave, soon.
func (t *Tracker) join() bool {
	if t.meanwhile != nil {
		return true
	}
	t.db.mu.Lock()
	defer t.db.mu.Unlock()
	if t.db.meanwhile == nil || t.db.closed {
		return false
	}
	t.meanwhile = t.db.meanwhile
	t.meanwhile.writers.Add(1)
	return true
}

func (t *Tracker) leave() {
	if t.meanwhile != nil {
		t.meanwhile.writers.Done()
		t.meanwhile = nil
	}
}

// leaveToOthers is evaluate while a snapshot that gave way is at its rest, if what this connection wrote can be left to whoever goes on
// with that. It returns false if this connection has to wait.
func (t *Tracker) leaveToOthers(held Held) bool {
	defer t.leave()
	if held != Shared || t.eager || t.noAttr || t.stuck || !t.join() {
		return false
	}
	if t.state != dirty {
		return true // it can wait, and the lock should not be held meanwhile
	}
	v, err := t.look(held)
	if err != nil || len(v.id) == 0 {
		return false
	}
	t.note(v)
	t.state, t.full, t.renewed = clean, false, false
	t.forget()
	return true
}

// note notes what this connection wrote.
func (t *Tracker) note(v view) {
	t.db.mu.Lock()
	defer t.db.mu.Unlock()
	w := t.meanwhile
	w.any = true
	w.lost = w.lost || t.forced(v) || !sameID(w.id, t.prev)
	w.id = v.id
	if !w.lost {
		w.left.merge(&t.dirty)
	}
}
