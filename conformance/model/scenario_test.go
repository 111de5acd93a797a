//go:build linux || darwin || freebsd

package model

import (
	"strings"
	"testing"
)

// Scenarios are interleavings that a mistake in the protocol needs to have consequences, found by
// thought: two copiers and a tracker that are stopped at the worst moments. Random plans get there
// too, but not each time.
func TestScenarios(t *testing.T) {
	const (
		writer, _, one, other = 0, 1, 2, 3 // actors
		tiny, whole, chunk    = 0, 7, 3    // transactions: the header, all chunks, one
	)
	at := func(who int, c class) step { return step{act, who, int(c), 0} }
	done := func(who int) step { return at(who, end) }
	txn := func(what int, c class) step { return step{act, writer, int(c), what} }
	for _, tt := range []struct {
		name     string
		coalesce bool
		steps    []step
	}{
		{"ready is taken while emptiness is checked", false, []step{
			txn(whole, end), done(one),
			at(one, staged), // it saw no snapshot, and is about to list staged chunks
			txn(chunk, end), txn(tiny, end),
			at(one, ready), // it is about to look into ready, where the chunk is
			at(other, putChunk),
			done(one),
		}},
		{"a snapshot becomes ready while emptiness is checked", false, []step{
			txn(whole, end), txn(tiny, end), // of which the second is staged only
			at(one, staged), at(one, meta), at(one, meta), at(one, meta), at(one, meta), at(one, meta),
			txn(chunk, publish), // the manifest has been linked
			at(one, staged),
			txn(tiny, end),
			done(one),
		}},
		{"a snapshot becomes ready after emptiness was checked", false, []step{
			txn(whole, end), done(one),
			at(one, staged),
			txn(chunk, end),
			at(one, locks),
			done(other),
			done(one),
		}},
		{"a stranger writes", false, []step{
			txn(whole, end), {foreign, 0, int(end), chunk}, txn(tiny, end),
		}},
		{"a burst ends with the process", true, []step{
			txn(whole, end), txn(chunk, end), txn(chunk+1, end), {kill, 0, 0, 0}, {act, 1, int(end), tiny},
		}},
		{"a stranger writes into a burst", true, []step{
			txn(whole, end), txn(chunk, end), {foreign, 0, int(end), chunk + 1}, {act, 1, int(end), tiny},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &plan{seed: 1, procs: 2, conns: 1, targets: 1, coalesce: tt.coalesce, steps: tt.steps}
			w := play(t, t.TempDir(), p)
			if w.failed() {
				t.Errorf("%s\n%v\n%s", strings.Join(w.problems, "\n"), p, w.tail())
			}
			if testing.Verbose() {
				t.Log(w.tail())
			}
		})
	}
}
