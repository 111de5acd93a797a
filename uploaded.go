package boule

import (
	"context"
	"errors"
	"fmt"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/internal/instance"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store/target"
)

// ErrLost reports that a replica lacks a state that programs of this machine have uploaded, by what the spool knows since the
// machine started: its newest entry, in the layout log, is gone. The entries before it can be restored by [FetchEntry], and [Replicator.Flush]
// uploads the state anew.
var ErrLost = errors.New("boule: the newest state of the replica was lost")

// uploaded returns the state that the programs of this machine which share the spool uploaded last to a target, as far as the spool knows.
func uploaded(spoolDir string, t target.Target, name string) (known logrep.KnownState) {
	if spoolDir == "" || !instance.Supported {
		return known
	}
	root, err := openSpool(spoolDir)
	if err != nil {
		return known
	}
	defer root.Close()
	t.Layout = target.LayoutLog
	tap, _, err := root.Tap(t.ID(), name)
	if err != nil {
		return known
	}
	owner, err := root.Owner()
	if err != nil {
		return known
	}
	sequence, _ := copier.TapSequence(tap) // in doubt it was there nevertheless
	return logrep.KnownState{Spool: owner, Sequence: sequence}
}

// newestUploaded is newestEntry for one who reads the replica the first time: it fails with [ErrLost] if the spool knows of a newer state. In the store
// alone nothing tells of an entry that was lost in a run of commits.
func newestUploaded(ctx context.Context, src replica.Source, spoolDir string, t target.Target, name string) (*Remote, error) {
	known := uploaded(spoolDir, t, name) // before the store is asked
	r, err := newestEntry(ctx, src, name, nil)
	if err != nil {
		return nil, err
	}
	return r, lost(name, r.logged.head, known)
}

// lost fails if newest is the newest entry of a log, and the spool knows of a newer state.
func lost(name string, newest *logrep.Head, known logrep.KnownState) error {
	f := known.Lost(name, newest.Entry)
	if f == nil {
		return nil
	}
	// Without the error of f, which is that of a log that is not there.
	return fmt.Errorf("%w: %s: %s; entry %d can be restored, and boule sync uploads the newest state again", ErrLost, f.Object, f.Error(), newest.Entry.Number)
}
