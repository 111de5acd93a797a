package spool

import (
	"context"
)

// A Consumer is the copier's side of one spool. Its steps are monotone and idempotent: read,
// delete, remove an empty directory, rename ready to consuming. It is safe for concurrent use.
type Consumer struct{}

// Key returns the key of the spool.
func (c *Consumer) Key() Key { panic("todo") }

// Metadata says which database and target the spool belongs to.
func (c *Consumer) Metadata() (Metadata, error) { panic("todo") }

// Tidy removes consuming and ready if they are empty.
func (c *Consumer) Tidy() error { panic("todo") }

// TakeReady moves the ready snapshot to consuming, unless one is there already, and returns
// the one in consuming; nil when there is none.
func (c *Consumer) TakeReady() (*Batch, error) { panic("todo") }

// Busy reports whether ready or consuming holds anything.
func (c *Consumer) Busy() (bool, error) { panic("todo") }

// StagedChunks returns the names of the staged chunks.
func (c *Consumer) StagedChunks() ([]string, error) { panic("todo") }

// ReadStagedChunk returns a staged chunk; fs.ErrNotExist when it is gone.
func (c *Consumer) ReadStagedChunk(name string) ([]byte, error) { panic("todo") }

// RemoveStagedChunk removes a staged chunk that was uploaded. Absent is success.
func (c *Consumer) RemoveStagedChunk(name string) error { panic("todo") }

// StagedManifests opens and identifies the staged manifests. The caller closes them.
func (c *Consumer) StagedManifests() ([]*StagedManifest, error) { panic("todo") }

// Quiescent reports whether staging/chunks, then ready, then consuming are empty.
func (c *Consumer) Quiescent() (bool, error) { panic("todo") }

// Unchanged reports whether the staged manifest is still the very file that m opened.
func (c *Consumer) Unchanged(m *StagedManifest) (bool, error) { panic("todo") }

// LockMeta takes the lock around manifest uploads, which is advisory: after a while it goes on
// without. Only ctx makes it fail.
func (c *Consumer) LockMeta(ctx context.Context) (unlock func(), err error) { panic("todo") }

// Close releases the Consumer.
func (c *Consumer) Close() error { panic("todo") }

// A StagedManifest is a staged manifest held open, so that its identity cannot be reused.
type StagedManifest struct {
	Name string
}

// Bytes returns the manifest.
func (m *StagedManifest) Bytes() ([]byte, error) { panic("todo") }

// Close releases the file.
func (m *StagedManifest) Close() error { panic("todo") }

// A Batch is a snapshot in consuming.
type Batch struct{}

// Chunks returns the names of the chunks left; none when their directory is gone.
func (b *Batch) Chunks() ([]string, error) { panic("todo") }

// ReadChunk returns a chunk; fs.ErrNotExist when it is gone.
func (b *Batch) ReadChunk(name string) ([]byte, error) { panic("todo") }

// RemoveChunk removes a chunk that was uploaded. Absent is success.
func (b *Batch) RemoveChunk(name string) error { panic("todo") }

// ChunksDone removes the directory of chunks; it fails when chunks are left.
func (b *Batch) ChunksDone() error { panic("todo") }

// Manifests returns the names of the manifests left.
func (b *Batch) Manifests() ([]string, error) { panic("todo") }

// ReadManifest returns a manifest; fs.ErrNotExist when it is gone.
func (b *Batch) ReadManifest(name string) ([]byte, error) { panic("todo") }

// RemoveManifest removes a manifest that was uploaded. Absent is success.
func (b *Batch) RemoveManifest(name string) error { panic("todo") }

// Finish removes the batch, now empty, and consuming, and releases b.
func (b *Batch) Finish() error { panic("todo") }

// Close releases b without removing anything.
func (b *Batch) Close() error { panic("todo") }
