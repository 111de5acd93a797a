package copier

import (
	"context"

	"github.com/boule-db/boule/spool"
)

// A Copier uploads the snapshots of all spools of a process. It is safe for concurrent use.
type Copier struct {
	opts Options
}

// New returns a Copier. opts.Open is required.
func New(opts *Options) *Copier { return &Copier{opts: opts.withDefaults()} }

// Add takes a spool into the copier's care until as many calls of [Copier.Remove], and looks
// for work in it at once. It waits for nothing.
func (c *Copier) Add(root *spool.Root, key spool.Key) {}

// Remove undoes one Add. What the spool still holds is uploaded nevertheless.
func (c *Copier) Remove(key spool.Key) {}

// Notify says that a snapshot was staged. It is meant for the commit path: it waits for nothing,
// and wakes nobody when a pass is already due.
func (c *Copier) Notify(key spool.Key) {}

// Flush uploads what is staged and returns nil only after the store acknowledged a snapshot at
// least as new as the one staged when Flush was called.
func (c *Copier) Flush(ctx context.Context, root *spool.Root, key spool.Key) error { return nil }

// Close uploads what is pending, within ctx, and ends the copier. The error joins one *Error
// for each spool left behind.
func (c *Copier) Close(ctx context.Context) error { return nil }
