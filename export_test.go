package boule

import "time"

// InUse reports how many configurations replicate now, and whether the copier runs.
func InUse() (users int, copying bool) {
	engines.Lock()
	defer engines.Unlock()
	return engines.users, engines.copier != nil
}

// InCare reports how many spools of r the copier has.
func (r *Replicator) InCare() int {
	r.e.mu.Lock()
	defer r.e.mu.Unlock()
	return len(r.e.added)
}

// SharesEngine reports whether both use one engine.
func (r *Replicator) SharesEngine(other *Replicator) bool { return r.e == other.e }

// First is how many of n chunks the policy fetches.
func (p LoadingPolicy) First(n int) int { return p.first(n) }

// SetAskPatience changes how long [Status] waits for a store, and returns what undoes that.
func SetAskPatience(d time.Duration) (undo func()) {
	old := askPatience
	askPatience = d
	return func() { askPatience = old }
}
