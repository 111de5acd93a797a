package copier

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/boule-db/boule/internal/recent"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/spool"
)

// A Copier uploads the snapshots of all spools of a process. It is safe for concurrent use. It
// has no goroutine while there is nothing to do.
type Copier struct {
	opts   Options
	recent *memory
	blocks *recent.Values[manifest.Fingerprint, []byte] // index blocks
	counts counters
	cores  *cores

	byKey   sync.Map    // spool.Key to []*entry, for Notify; written under mu
	closing atomic.Bool // passes in the background stop where they can go on later

	mu         sync.Mutex // guards what follows, and the marked fields of entry and remote
	closed     bool
	order      []*entry // every entry, in the order of rescans
	nextLook   int      // index into order
	lookAt     time.Time
	due        dueHeap
	waiting    []*remote // those with entries that wait for a place, next first
	remotes    map[string]*remote
	running    int // passes in the background
	probing    int // those of them at remotes that are not known to be well
	active     map[*activity]struct{}
	timer      *time.Timer
	generation uint64        // last one given out
	drained    chan struct{} // closed when closed and nothing is active
	finished   chan struct{} // closed when Close is done, which sets closeErr
	closeErr   error
}

// New returns a Copier. opts.Open is required.
func New(opts *Options) *Copier {
	o := opts.withDefaults()
	return &Copier{
		opts:     o,
		recent:   newMemory(o.Remember, o.RememberFor),
		cores:    newCores(),
		blocks:   recent.New[manifest.Fingerprint, []byte](rememberBlocks),
		remotes:  make(map[string]*remote),
		active:   make(map[*activity]struct{}),
		drained:  make(chan struct{}),
		finished: make(chan struct{}),
	}
}

// An entry is one spool in the copier's care.
type entry struct {
	key    spool.Key
	root   *spool.Root
	remote *remote
	counts counters

	noted    atomic.Bool           // a snapshot was staged since the last pass began; then state is not idle
	flushers atomic.Int32          // flushes that wait for their turn: a pass in the background gives way
	turn     chan struct{}         // holds a token while a pass is under way
	trying   atomic.Pointer[error] // why a request since the last good pass failed, and was tried again; nil if none did

	// Guarded by turn.
	checked    map[string]uint64         // manifest name to the generation of the remote in which it was seen there
	acks       map[string]ack            // by manifest name
	doubts     map[string]bool           // manifests of which the store lacks something; "" is any
	rejected   map[string]int            // chunk to the number of passes in which the store refused it
	allowedAt  time.Time                 // earliest next manifest upload
	pace       *rate.Limiter             // of appends in the log layout; nil if there was none
	restedAt   time.Time                 // when it will be as if there had been none
	superseded time.Time                 // when a snapshot was last demanded because of that
	takeover   bool                      // append whoever appended last
	logs       map[string]*logState      // by manifest name, of replicas in the log layout
	damage     map[string]*logrep.Damage // likewise: what is to be uploaded anew
	unclosed   bool                      // compactions of these are overdue: Close makes them, and closes these, when all is uploaded
	reporting  reporting                 // has its own lock besides

	// Guarded by Copier.mu.
	refs        int
	gone        bool // forgotten; whoever still has it looks the key up again
	state       state
	dueAt       time.Time
	index       int // in the heap
	notBefore   time.Time
	keepUntil   time.Time // though nobody needs it
	retryAt     time.Time // not before, because of failures
	remoteFault bool      // the last failure was the remote's
	status      Status
	complaint   string // the failure logged last
}

// An ack is the last manifest that the store acknowledged.
type ack struct {
	sequence uint64
	at       time.Time
}

type state uint8

const (
	idle    state = iota
	queued        // in the heap, until due
	waiting       // due, for a place
	running       // in the background
	parked        // due, but a flush has the turn; it queues the entry again
)

// Add takes a spool into the copier's care until as many calls of [Copier.Remove], and looks
// for work in it at once. It waits for nothing.
func (c *Copier) Add(root *spool.Root, key spool.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	e := c.enter(root, key)
	if e.state == idle {
		c.enqueue(e, e.earliest(time.Now()))
		c.dispatch()
	}
}

// entries returns the entries of a key: one, unless there are roots of several directories.
// Callers must not change it.
func (c *Copier) entries(key spool.Key) []*entry {
	v, _ := c.byKey.Load(key)
	entries, _ := v.([]*entry)
	return entries
}

// enter returns the entry of a spool, with one more reference. Callers hold mu.
func (c *Copier) enter(root *spool.Root, key spool.Key) *entry {
	same := c.entries(key)
	for _, e := range same {
		if e.root.Dir() == root.Dir() {
			e.refs++
			return e
		}
	}
	r := c.remotes[key.Target]
	if r == nil {
		r = newRemote(key.Target)
		c.renew(r)
		c.remotes[key.Target] = r
	}
	e := &entry{
		key: key, root: root, remote: r, refs: 1,
		turn:     make(chan struct{}, 1),
		checked:  make(map[string]uint64),
		rejected: make(map[string]int),
		acks:     make(map[string]ack),
		damage:   make(map[string]*logrep.Damage),
		doubts:   make(map[string]bool),
	}
	if len(c.order) == 0 {
		c.lookAt = time.Now().Add(c.opts.jitter(c.opts.Rescan))
	}
	c.order = append(c.order, e)
	c.byKey.Store(key, append(slices.Clip(same), e))
	return e
}

// Remove undoes one Add. What the spool still holds is uploaded nevertheless.
func (c *Copier) Remove(key spool.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if same := c.entries(key); len(same) > 0 {
		c.leave(slices.MaxFunc(same, func(a, b *entry) int { return cmp.Compare(a.refs, b.refs) }))
		c.dispatch()
	}
}

// leave takes one reference. Callers hold mu and dispatch.
func (c *Copier) leave(e *entry) {
	e.refs = max(e.refs-1, 0)
	c.dropIdle(e)
}

// dropIdle forgets the entry if nobody needs it any more. Its remote stays. Callers hold mu and
// dispatch.
func (c *Copier) dropIdle(e *entry) {
	if e.refs > 0 || e.state != idle || e.gone || c.closed {
		return
	}
	if e.keepUntil.After(time.Now()) { // whoever comes back soon shall find the spacing
		c.enqueue(e, e.keepUntil)
		return
	}
	e.gone = true
	i := slices.Index(c.order, e)
	c.order = slices.Delete(c.order, i, i+1)
	if i < c.nextLook {
		c.nextLook--
	}
	same := slices.DeleteFunc(slices.Clone(c.entries(e.key)), func(o *entry) bool { return o == e })
	if len(same) == 0 {
		c.byKey.Delete(e.key)
	} else {
		c.byKey.Store(e.key, same)
	}
	_, a := c.begin(context.Background())
	go func() {
		e.turn <- struct{}{} // of a flush that is just ending, at most
		c.report(e, 0)
		<-e.turn
		c.mu.Lock()
		defer c.mu.Unlock()
		c.end(a)
	}()
}

// Notify says that a snapshot was staged. It is meant for the commit path: it waits for nothing,
// and wakes nobody when a pass is already due. The first after a pause starts a pass at once.
func (c *Copier) Notify(key spool.Key) {
	c.cores.busy()
	for _, e := range c.entries(key) {
		c.notify(e)
	}
}

// NextUpload returns when what is staged in a spool can be taken at the earliest. The zero time is at any moment, or unknown.
func (c *Copier) NextUpload(key spool.Key) (at time.Time) {
	entries := c.entries(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, e := range entries {
		next := e.earliest(time.Time{})
		if e.state == running || e.flushers.Load() > 0 {
			next = time.Time{} // it knows when it is done
		}
		if i == 0 || next.Before(at) {
			at = next
		}
	}
	return at
}

func (c *Copier) notify(e *entry) {
	if e.noted.Load() || e.noted.Swap(true) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.gone { // just now; there may be another one since
		for _, e := range c.entries(e.key) {
			e.noted.Store(true)
			c.enqueue(e, e.earliest(time.Now()))
		}
	} else if !c.closed {
		c.enqueue(e, e.earliest(time.Now()))
	}
	c.dispatch()
}
