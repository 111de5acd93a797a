package tracker

import (
	"fmt"
	"io/fs"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// A StagedInfo describes what is staged for one target.
type StagedInfo struct {
	Key       spool.Key
	Name      string // of the manifest
	Err       error  // why the rest is not known; fs.ErrNotExist when nothing is staged
	Sequence  uint64
	VersionID []byte
	Header    manifest.Fingerprint
	Size      int64
	// Current says that the snapshot is of the database as it is now. Only [Tracker.Current]
	// can tell; it is false elsewhere.
	Current bool
}

// StagedFor reads what is staged now for each target of a tracked database.
func (m *Manager) StagedFor(path string) ([]StagedInfo, error) {
	d := m.find(path)
	if d == nil {
		return nil, fmt.Errorf("read staged manifests: %w: %s", ErrUntracked, path)
	}
	return d.stagedInfos(), nil
}

func (d *database) stagedInfos() []StagedInfo {
	var infos []StagedInfo
	for _, ts := range d.targets {
		info := StagedInfo{Key: ts.key, Name: d.name}
		if m, err := d.readStaged(ts.key); err != nil {
			info.Err = err
		} else {
			info.Sequence, info.VersionID, info.Header, info.Size = m.Sequence, m.VersionID, m.Header, m.Size
		}
		infos = append(infos, info)
	}
	return infos
}

func (d *database) readStaged(key spool.Key) (*manifest.Manifest, error) {
	c, err := d.m.opts.Root.Consumer(key)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	all, err := c.StagedManifests()
	if err != nil {
		return nil, err
	}
	err = fmt.Errorf("read staged manifest: %w", fs.ErrNotExist)
	var found *manifest.Manifest
	for _, s := range all {
		if s.Name == d.name {
			var data []byte
			if data, err = s.Bytes(); err == nil {
				found, err = manifest.Decode(data)
			}
		}
		s.Close()
	}
	return found, err
}

// Current reads what is staged for each target, and says whether it describes the database as it
// is now. The connection must hold at least SHARED, outside of a write transaction. The error is
// ErrEmpty or ErrWAL for databases of which there are no snapshots, and ErrUntracked.
func (t *Tracker) Current() (infos []StagedInfo, err error) {
	if t.db == nil {
		return nil, t.untracked
	}
	t.guard("compare", func() { infos, err = t.compare() }, func(perr error) { infos, err = nil, perr })
	return infos, err
}

func (t *Tracker) compare() ([]StagedInfo, error) {
	v, wal, err := t.measure()
	switch {
	case err != nil:
		return nil, err
	case v.size == 0:
		return nil, ErrEmpty
	case wal:
		return nil, ErrWAL
	}
	v.id = t.versionID(v.header)
	infos := t.db.stagedInfos()
	for i := range infos {
		infos[i].Current = infos[i].Err == nil && infos[i].Size == v.size && sameID(infos[i].VersionID, v.id)
	}
	return infos, nil
}
