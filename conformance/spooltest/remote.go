package spooltest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// A Remote is what the stores of a target hold, uncompressed, by name.
type Remote struct {
	Chunks, Manifests map[string][]byte
}

// NewRemote returns an empty Remote.
func NewRemote() *Remote {
	return &Remote{Chunks: map[string][]byte{}, Manifests: map[string][]byte{}}
}

// Check judges that all that the manifests name is there (I13).
func (r *Remote) Check() []Violation {
	var found []Violation
	for name, data := range r.Manifests {
		m, err := manifest.Decode(data)
		if err != nil {
			found = append(found, Violation{"I20", name, err.Error()})
			continue
		}
		for _, f := range References(m) {
			if r.Chunks[f.ChunkName()] == nil {
				found = append(found, Violation{"I13", name, "chunk " + f.String() + " is missing"})
			}
		}
	}
	return found
}

// Restore returns the database of a manifest in r. Directories of chunks are looked at, too.
func (r *Remote) Restore(data []byte, dirs ...string) ([]byte, error) {
	m, err := manifest.Decode(data)
	if err != nil {
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
	dirs := []string{filepath.Join(dir, "staging", "chunks")}
	for _, sub := range []string{"ready", "consuming"} {
		found, _ := filepath.Glob(filepath.Join(dir, sub, "*", "chunks"))
		dirs = append(dirs, found...)
	}
	return r.Restore(data, dirs...)
}

func readMetadata(path string) (spool.Metadata, error) {
	var m spool.Metadata
	data, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, err
	}
	if m.Path == "" || m.Target.ID == "" {
		return m, errors.New("metadata is incomplete")
	}
	return m, nil
}
