package copier

import (
	"context"

	"github.com/boule-db/boule/spool"
)

// What tests put between the copier and a spool.
type (
	Source         = source
	Consumer       = consumer
	Batch          = batch
	StagedManifest = stagedManifest
)

// RootSource returns what Add makes of its arguments.
func RootSource(root *spool.Root, key spool.Key) Source { return rootSource{root, key} }

// AddSource is Add with another source.
func (c *Copier) AddSource(src Source, key spool.Key) { c.add(src, key) }

// FlushSource is Flush with another source.
func (c *Copier) FlushSource(ctx context.Context, src Source, key spool.Key) error {
	return c.flush(ctx, src, key)
}
