package spool

import (
	"fmt"

	"github.com/boule-db/boule/internal/fsx"
)

// A Batch is a snapshot in consuming. Several consumers may drain one at once. It is safe for
// concurrent use.
type Batch struct {
	parent fsx.FS // the spool
	name   string
	dir    fsx.FS
}

// Name returns the unique name of the batch.
func (b *Batch) Name() string { return b.name }

// Chunks returns the names of the chunks left; none when their directory is gone.
func (b *Batch) Chunks() ([]string, error) { return b.list(chunksDir) }

func (b *Batch) list(sub string) ([]string, error) {
	names, err := list(b.dir, sub)
	if err != nil {
		return nil, fmt.Errorf("spool: list %s: %w", sub, err)
	}
	return names, nil
}

// ReadChunk returns a chunk; the error is fs.ErrNotExist when it is gone.
func (b *Batch) ReadChunk(name string) ([]byte, error) { return readChunk(b.dir, chunksDir, name) }

// RemoveChunk removes a chunk that was uploaded. Absent is success.
func (b *Batch) RemoveChunk(name string) error { return removeFile(b.dir, chunksDir, name) }

// ChunksDone removes the directory of chunks; it fails with fs.ErrExist when chunks are left.
func (b *Batch) ChunksDone() error {
	if err := missingIsFine(b.dir.Remove(chunksDir)); err != nil {
		return fmt.Errorf("spool: finish chunks: %w", err)
	}
	return nil
}

// Manifests returns the names of the manifests left; none when their directory is gone.
func (b *Batch) Manifests() ([]string, error) { return b.list(metaDir) }

// ReadManifest returns a manifest; the error is fs.ErrNotExist when it is gone.
func (b *Batch) ReadManifest(name string) ([]byte, error) {
	data, err := b.dir.ReadFile(metaDir + "/" + name)
	if err != nil {
		return nil, fmt.Errorf("spool: read manifest: %w", err)
	}
	return data, nil
}

// RemoveManifest removes a manifest that was uploaded. Absent is success.
func (b *Batch) RemoveManifest(name string) error { return removeFile(b.dir, metaDir, name) }

// Finish removes the batch, which must be empty, and consuming, and releases b. It fails with
// fs.ErrExist if something is left; b is released nevertheless.
func (b *Batch) Finish() error {
	defer b.dir.Close()
	for _, sub := range []string{chunksDir, metaDir} {
		if err := missingIsFine(b.dir.Remove(sub)); err != nil {
			return fmt.Errorf("spool: finish batch: %w", err)
		}
	}
	if err := missingIsFine(b.parent.Remove(consumingDir + "/" + b.name)); err != nil {
		return fmt.Errorf("spool: finish batch: %w", err)
	}
	// The next snapshot may have moved in already.
	if err := removeIfEmpty(b.parent, consumingDir); err != nil {
		return fmt.Errorf("spool: finish batch: %w", err)
	}
	return nil
}

// Close releases b without removing anything.
func (b *Batch) Close() error { return b.dir.Close() }
