package spooltest

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/boule-db/boule/doctor"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// A Remote is what the stores of a target hold.
type Remote struct{ *doctor.Stored }

// NewRemote returns an empty Remote.
func NewRemote() *Remote { return &Remote{doctor.NewStored()} }

// Restore returns the database of a manifest in r. Directories of chunks are looked at, too.
func (r *Remote) Restore(data []byte, dirs ...string) ([]byte, error) {
	m, err := manifest.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	if err := m.Expand(func(f manifest.Fingerprint) ([]byte, error) { return r.chunk(f, dirs) }); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	db := append([]byte(nil), m.First...)
	for i, f := range m.Chunks {
		if i == 0 {
			continue
		}
		chunk, err := r.chunk(f, dirs)
		if err != nil {
			return nil, fmt.Errorf("restore chunk %d: %w", i, err)
		}
		db = append(db, chunk...)
	}
	if int64(len(db)) != m.Size {
		return nil, fmt.Errorf("restore: %w: %d bytes instead of %d", manifest.ErrCorrupt, len(db), m.Size)
	}
	return db, nil
}

// block reads an index block, which is stored like a chunk.
func (r *Remote) block(f manifest.Fingerprint) ([]byte, error) { return r.chunk(f, nil) }

func (r *Remote) chunk(f manifest.Fingerprint, dirs []string) ([]byte, error) {
	if f == manifest.ZeroChunk {
		return make([]byte, manifest.ChunkSize), nil
	}
	data, ok := r.Chunks[f.ChunkName()]
	for _, dir := range dirs {
		if !ok {
			var err error
			data, err = os.ReadFile(filepath.Join(dir, f.ChunkName()))
			ok = err == nil
		}
	}
	switch {
	case !ok:
		return nil, fmt.Errorf("chunk %v is nowhere", f)
	case manifest.Sum(data) != f:
		return nil, fmt.Errorf("chunk %v: %w", f, manifest.ErrCorrupt)
	}
	return data, nil
}

// RestoreStaged returns the database of the staged manifest of a spool, from what is in the
// spool and in r.
func (r *Remote) RestoreStaged(boot string, key spool.Key, name string) ([]byte, error) {
	dir := filepath.Join(boot, filepath.FromSlash(key.String()))
	data, err := os.ReadFile(filepath.Join(dir, "staging", "meta", name))
	if err != nil {
		return nil, fmt.Errorf("restore staged: %w", err)
	}
	dirs := []string{filepath.Join(dir, "staging", "chunks"), filepath.Join(dir, "staging", "index")}
	for _, sub := range []string{"ready", "consuming"} {
		found, _ := filepath.Glob(filepath.Join(dir, sub, "*", "chunks"))
		dirs = append(dirs, found...)
	}
	return r.Restore(data, dirs...)
}
