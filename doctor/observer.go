package doctor

// An Observer judges what happens, one step after another. It is not safe for concurrent use.
type Observer struct {
	opts   Options
	last   *State
	memory *memory
}

// NewObserver returns an Observer that has seen nothing. opts may be nil.
func NewObserver(opts *Options) *Observer {
	o := &Observer{memory: newMemory()}
	if opts != nil {
		o.opts = *opts
	}
	return o
}

// Step judges what is there now, and what was done since the last step. The state may share its
// Stores and Databases with earlier ones, but not the Tree.
func (o *Observer) Step(now *State, events ...Event) []Violation { return o.step(now, false, events) }

// Rest is Step when all work is done: nobody writes, and consumers have nothing left to do.
func (o *Observer) Rest(now *State, events ...Event) []Violation { return o.step(now, true, events) }

// Doubt says that the target of a spool lost something, or refused it: what it lacks is nobody's
// fault until the next snapshot is there, of which the Observer is told by Trust.
func (o *Observer) Doubt(path string) { o.memory.doubt[path] = true }

// Trust ends a doubt.
func (o *Observer) Trust(path string) { delete(o.memory.doubt, path) }

// Reboot says that what is seen from now on is of another boot, or of other stores.
func (o *Observer) Reboot() { o.last, o.memory = nil, newMemory() }

func (o *Observer) step(now *State, quiet bool, events []Event) []Violation {
	c := &evidence{opts: o.opts, now: now, before: o.last, events: events, quiet: quiet, memory: o.memory}
	found := c.run()
	for path, s := range now.tree().Spools {
		o.memory.peak[path] = c.size(s)
	}
	for target, s := range now.Stores {
		if s != nil {
			o.memory.sequences[target] = s.sequences()
		}
	}
	o.last = now
	return found
}
