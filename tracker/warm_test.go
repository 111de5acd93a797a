package tracker_test

import (
	"testing"

	"github.com/boule-db/boule/tracker"
)

// TestOpenSpools has more databases open than spools may stay so. Whichever are closed, the next commit finds what it needs.
func TestOpenSpools(t *testing.T) {
	first := newT(t)
	m := tracker.New(&tracker.Options{
		Root: first.good, Hostname: "host", Targets: first.targets, MinBackoff: 1, MaxBackoff: 1, Coalesce: -1, OpenSpools: 2,
	})
	var worlds []*world
	var conns []*conn
	for i := range 5 {
		w := first
		if i > 0 {
			w = newT(t)
			w.good = first.good
		}
		c := w.openWith(m, tracker.Normal)
		defer c.close()
		worlds, conns = append(worlds, w), append(conns, c)
	}
	for round := range byte(3) {
		for i, c := range conns {
			c.commit(func() { c.fill(0, 4, 1+round) })
			if open := m.OpenSpools(); len(open) > 2 {
				t.Errorf("round %d, database %d: %d spools are open", round, i, len(open))
			}
			if !worlds[i].isCurrent() {
				t.Errorf("round %d: what is staged of database %d is not what it has", round, i)
			}
		}
	}
	m.Spare()
	if open := m.OpenSpools(); len(open) > 0 {
		t.Errorf("%d spools are still open", len(open))
	}
	for i, c := range conns {
		c.commit(func() { c.fill(2, 1, 9) })
		if !worlds[i].isCurrent() {
			t.Errorf("what is staged of database %d after that is not what it has", i)
		}
	}
}
