package spool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
)

// A Consumer is the copier's side of one spool. Its steps are monotone and idempotent: read,
// delete, remove an empty directory, rename ready to consuming. It is safe for concurrent use.
//
// It stays with the spool that it opened: if that is deleted, all steps fail with fs.ErrNotExist
// or find nothing, and a new Consumer must be opened.
type Consumer struct {
	key  Key
	dir  fsx.FS
	root *Root
}

// Key returns the key of the spool.
func (c *Consumer) Key() Key { return c.key }

// Metadata says which database and target the spool belongs to.
func (c *Consumer) Metadata() (Metadata, error) {
	m, err := readMetadata(c.dir)
	if err != nil {
		return Metadata{}, fmt.Errorf("spool: read metadata: %w", err)
	}
	return m, nil
}

func readMetadata(dir fsx.FS) (Metadata, error) {
	var m Metadata
	data, err := dir.ReadFile(metadataFile)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return Metadata{}, fmt.Errorf("%w: %s", ErrCorrupt, err.Error())
	}
	if m.Version != metadataVersion {
		return Metadata{}, fmt.Errorf("%w: metadata version %d", ErrCorrupt, m.Version)
	}
	return m, nil
}

// Tidy removes consuming and ready if they are empty.
func (c *Consumer) Tidy() error {
	for _, name := range []string{consumingDir, readyDir} {
		if err := removeIfEmpty(c.dir, name); err != nil {
			return fmt.Errorf("spool: tidy: %w", err)
		}
	}
	return nil
}

func removeIfEmpty(dir fsx.FS, name string) error {
	if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrExist) {
		return missingIsFine(err)
	}
	return nil
}

// TakeReady moves the ready snapshot to consuming, unless one is there already, and returns
// the one in consuming; nil when there is none.
func (c *Consumer) TakeReady() (*Batch, error) {
	for {
		err := c.dir.RenameDir(readyDir, consumingDir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("spool: take ready: %w", err)
		}
		names, err := list(c.dir, consumingDir)
		if err != nil {
			return nil, fmt.Errorf("spool: take ready: %w", err)
		}
		if len(names) == 0 {
			return nil, nil
		}
		name := slices.Min(names)
		dir, err := c.dir.Sub(consumingDir + "/" + name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another consumer finished it; each turn of this loop needs one who does
		}
		if err != nil {
			return nil, fmt.Errorf("spool: take ready: %w", err)
		}
		return &Batch{parent: c.dir, name: name, dir: dir}, nil
	}
}

// Busy reports whether ready or consuming holds anything.
func (c *Consumer) Busy() (bool, error) {
	for _, name := range []string{readyDir, consumingDir} { // content moves in this direction
		if some, err := nonEmpty(c.dir, name); err != nil {
			return false, fmt.Errorf("spool: look for snapshots: %w", err)
		} else if some {
			return true, nil
		}
	}
	return false, nil
}

// Quiescent reports whether staging/chunks, then ready, then consuming are empty. Content only
// moves in that direction, so nothing can slip past.
func (c *Consumer) Quiescent() (bool, error) {
	some, err := nonEmpty(c.dir, stagedChunks)
	if err != nil {
		return false, fmt.Errorf("spool: look for chunks: %w", err)
	}
	if some {
		return false, nil
	}
	busy, err := c.Busy()
	return !busy && err == nil, err
}

// StagedChunks returns the names of the staged chunks.
func (c *Consumer) StagedChunks() ([]string, error) {
	names, err := list(c.dir, stagedChunks)
	if err != nil {
		return nil, fmt.Errorf("spool: list staged chunks: %w", err)
	}
	return names, nil
}

// ReadStagedChunk returns a staged chunk; the error is fs.ErrNotExist when it is gone.
func (c *Consumer) ReadStagedChunk(name string) ([]byte, error) {
	return readChunk(c.dir, stagedChunks, name)
}

// RemoveStagedChunk removes a staged chunk that was uploaded. Absent is success.
func (c *Consumer) RemoveStagedChunk(name string) error {
	return removeFile(c.dir, stagedChunks, name)
}

// readChunk reads a chunk without trusting its size.
func readChunk(dir fsx.FS, sub, name string) ([]byte, error) {
	f, err := dir.Open(sub + "/" + name)
	if err != nil {
		return nil, fmt.Errorf("spool: read chunk: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("spool: read chunk: %w", err)
	}
	if info.Size > manifest.ChunkSize {
		return nil, fmt.Errorf("spool: read chunk: %w: %s has %d bytes", ErrCorrupt, name, info.Size)
	}
	data := make([]byte, info.Size)
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, info.Size), data); err != nil {
		return nil, fmt.Errorf("spool: read chunk: %w", err)
	}
	return data, nil
}

func removeFile(dir fsx.FS, sub, name string) error {
	if err := missingIsFine(dir.Remove(sub + "/" + name)); err != nil {
		return fmt.Errorf("spool: remove: %w", err)
	}
	return nil
}

// A StagedManifest is a staged manifest held open, so that its identity cannot be reused.
type StagedManifest struct {
	Name string

	file fsx.File
	info fsx.Info
}

// StagedManifests opens and identifies the staged manifests. The caller closes them.
func (c *Consumer) StagedManifests() ([]*StagedManifest, error) {
	names, err := list(c.dir, stagedMeta)
	if err != nil {
		return nil, fmt.Errorf("spool: list staged manifests: %w", err)
	}
	slices.Sort(names)
	var all []*StagedManifest
	for _, name := range names {
		m, err := c.openStaged(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			for _, m := range all {
				m.Close()
			}
			return nil, fmt.Errorf("spool: open staged manifest: %w", err)
		}
		all = append(all, m)
	}
	return all, nil
}

func (c *Consumer) openStaged(name string) (*StagedManifest, error) {
	f, err := c.dir.Open(stagedMeta + "/" + name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &StagedManifest{Name: name, file: f, info: info}, nil
}

// Bytes returns the manifest.
func (m *StagedManifest) Bytes() ([]byte, error) {
	data := make([]byte, m.info.Size)
	if _, err := io.ReadFull(io.NewSectionReader(m.file, 0, m.info.Size), data); err != nil {
		return nil, fmt.Errorf("spool: read staged manifest: %w", err)
	}
	return data, nil
}

// Close releases the file.
func (m *StagedManifest) Close() error { return m.file.Close() }

// Unchanged reports whether the staged manifest is still the very file that m opened, and was
// not linked into a ready snapshot since.
func (c *Consumer) Unchanged(m *StagedManifest) (bool, error) {
	now, err := c.dir.Stat(stagedMeta + "/" + m.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("spool: look at staged manifest: %w", err)
	}
	return now.Dev == m.info.Dev && now.Ino == m.info.Ino && now.Size == m.info.Size &&
		now.ChangeTime.Equal(m.info.ChangeTime) && now.ModTime.Equal(m.info.ModTime), nil
}

// Bounds of the waits for locks: that around manifest uploads is held for a request, and that of
// the tap for a moment.
const (
	lockPoll    = 10 * time.Millisecond // between tries, at first
	lockPollMax = 200 * time.Millisecond
	lockWait    = 2 * time.Second // in all, and as much again at random
	tapLockWait = 10 * time.Second
)

// LockMeta takes the lock around manifest uploads. It is advisory: after a while LockMeta goes on
// without it, for a lock must not stop replication. Only ctx makes it fail.
func (c *Consumer) LockMeta(ctx context.Context) (unlock func(), err error) {
	unlock, busy, err := c.lock(ctx, lockFile, lockWait+c.root.opts.jitter(lockWait))
	if busy && c.root.opts.intN(100) == 0 { // its holder may hang
		_ = c.dir.Remove(lockFile)
	}
	if err != nil {
		return nil, fmt.Errorf("spool: lock manifests: %w", err)
	}
	return unlock, nil
}

// LockTap takes the lock around reading and replacing a tap, for as long as that takes. After a
// while it goes on without the lock.
func (c *Consumer) LockTap() (unlock func()) {
	unlock, _, _ = c.lock(context.Background(), tapLockFile, tapLockWait)
	return unlock
}

// lock waits for the lock of a file, but not longer than patience. It goes on without the lock if
// that is busy, or can't be had for another reason. The error is that of ctx.
func (c *Consumer) lock(ctx context.Context, name string, patience time.Duration) (unlock func(), busy bool, err error) {
	unlock = func() {}
	c.makeLock(name)
	for waited, pause := time.Duration(0), lockPoll; ctx.Err() == nil; pause = min(2*pause, lockPollMax) {
		lock, err := c.dir.TryLock(name)
		switch {
		case err == nil:
			return func() { lock.Close() }, false, nil
		case !errors.Is(err, fsx.ErrLocked):
			return unlock, false, nil
		case waited >= patience:
			return unlock, true, nil
		}
		sleep := min(pause+c.root.opts.jitter(pause), patience-waited)
		waited += sleep
		c.root.opts.Sleep(ctx, sleep)
	}
	return unlock, false, ctx.Err()
}

// makeLock makes the file of a lock, so that everybody who shares the spool can open it.
func (c *Consumer) makeLock(name string) {
	if _, err := c.dir.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	// If that fails, so will the lock.
	_, _ = fsx.PublishNew(c.dir, stagedScratch+"/"+c.root.scratchName(), name, nil, c.root.share.Load().lock())
}

// Close releases the Consumer.
func (c *Consumer) Close() error { return c.dir.Close() }

// ReadIndexBlock returns an index block that the staged manifest names, or named until lately;
// the error is fs.ErrNotExist when it is not there. What it returns has that fingerprint.
func (c *Consumer) ReadIndexBlock(f manifest.Fingerprint) ([]byte, error) {
	name := f.ChunkName()
	data, err := readChunk(c.dir, stagedIndex, name)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = readChunk(c.dir, stagedChunks, name)
	}
	if err != nil {
		return nil, err
	}
	if err := manifest.CheckBlock(f, data); err != nil {
		return nil, fmt.Errorf("spool: read index block: %w: %w", ErrCorrupt, err)
	}
	return data, nil
}
