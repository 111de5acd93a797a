package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/boule-db/boule/manifest"
)

// slice is how much of a database is read under one lock: a writer waits for no more than that.
const slice = 16 << 20

var (
	errBusy    = errors.New("the database is busy")
	errHot     = errors.New("a transaction goes on, or failed and was not rolled back yet")
	errWAL     = errors.New("the database is in WAL mode, which is not replicated")
	errIndex   = errors.New("an index block of what is staged of the database can't be read")
	errStaged  = errors.New("what is staged of the database can't be read")
	errChanged = errors.New("the database has changed since its last snapshot")
)

// database compares a database with what is staged of it (I19), under the lock of a reader. It is
// compared in slices, each with what is staged at that time.
func (x *examination) database(ctx context.Context, s *Spool) {
	if s.Metadata == nil || len(s.Staging.Manifests) == 0 {
		return
	}
	path := s.Metadata.Path
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		x.skip(path, "the database is gone", "I19")
		return
	}
	if err != nil {
		x.skip(path, err.Error(), "I19")
		return
	}
	defer f.Close()
	if dev, ino, err := identify(f); err != nil || dev != s.Key.Dev || ino != s.Key.Ino {
		x.skip(path, "the file was replaced since it was spooled", "I19")
		return
	}
	x.report.Databases++
	for name := range s.Staging.Manifests {
		if err := x.compare(ctx, f, path, s.Path, name); err != nil {
			x.skip(path, err.Error(), "I19")
		}
	}
}

// compare goes through a database. The error says why it was not compared, or not all of it.
func (x *examination) compare(ctx context.Context, f *os.File, path, at, name string) error {
	deadline := time.Now().Add(x.opts.Patience)
	for i, n := 0, 1; i < n; {
		next, chunks, found, err := x.compareSlice(f, path, at, name, i)
		switch {
		case err == nil:
			i, n = next, chunks
			if len(found) > 0 {
				x.report.Violations = append(x.report.Violations, found...)
				return nil
			}
		case errors.Is(err, errBusy), errors.Is(err, errChanged), errors.Is(err, errHot): // soon not, perhaps
			if time.Now().After(deadline) || !x.pause(ctx) {
				return err
			}
		default:
			return err
		}
		if err == nil && i < n && time.Now().After(deadline) {
			return fmt.Errorf("%d of %d chunks were compared within %v", i, n, x.opts.Patience)
		}
	}
	return nil
}

// compareSlice compares from chunk i on, and returns the next one and their number.
func (x *examination) compareSlice(f *os.File, path, at, name string, i int) (next, n int, found []Violation, err error) {
	unlock, err := lockShared(f)
	if err != nil {
		return i, 0, nil, err
	}
	defer unlock()
	if err := undisturbed(f, path); err != nil {
		return i, 0, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return i, 0, nil, err
	}
	staged := (&looker{x.fsys, NewCache(), &Tree{}}).manifest(nil, at+"/staging/meta/"+name)
	switch {
	case staged == nil:
		return i, 0, nil, errChanged
	case staged.Manifest == nil:
		return i, 0, nil, errStaged
	}
	header := make([]byte, manifest.HeaderSize)
	k, err := f.ReadAt(header, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return i, 0, nil, err
	}
	db := &Database{Size: info.Size(), ID: x.opts.VersionID(f, manifest.HeaderSum(header[:k])), Sums: map[int]manifest.Fingerprint{}}
	if len(db.ID) == 0 || string(db.ID) != string(staged.Manifest.VersionID) {
		return i, 0, nil, errChanged
	}
	n = manifest.Count(db.Size)
	var blocks manifest.BlockReader // that of what is compared
	if block := i / manifest.BlockChunks; block < len(staged.Manifest.Blocks) {
		if blocks, err = x.block(at, staged.Manifest.Blocks[block].Stored); err != nil {
			return i, 0, nil, err
		}
	}
	buf := make([]byte, manifest.ChunkSize)
	for next = i; next < n && next-i < slice/manifest.ChunkSize; next++ {
		part := buf[:manifest.ChunkLen(db.Size, next)]
		if _, err := f.ReadAt(part, int64(next)*manifest.ChunkSize); err != nil {
			return i, 0, nil, err
		}
		db.Sums[next] = manifest.Sum(part)
		x.report.Compared += int64(len(part))
	}
	c := &evidence{id: "I19", memory: newMemory()}
	c.compare(staged.Path, staged.Manifest, db, blocks)
	return max(next, 1), n, c.found, nil
}

// block returns a reader of one index block only, if that is one, which is read from a spool.
func (x *examination) block(at string, f manifest.Fingerprint) (manifest.BlockReader, error) {
	var data []byte
	if f != manifest.NoBlock {
		var err error
		for _, dir := range []string{"index", "chunks"} {
			if data, err = x.fsys.ReadFile(at + "/staging/" + dir + "/" + f.ChunkName()); err == nil && manifest.CheckBlock(f, data) == nil {
				break
			}
			data = nil
		}
		switch {
		case data == nil && errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("%w, or %w", errIndex, errChanged)
		case data == nil:
			return nil, errIndex
		}
	}
	return func(other manifest.Fingerprint) ([]byte, error) {
		if other != f || data == nil {
			return nil, errNotKnown
		}
		return data, nil
	}, nil
}

// undisturbed says why the bytes of a database that is locked are not to be trusted.
func undisturbed(f *os.File, path string) error {
	var modes [2]byte
	if _, err := f.ReadAt(modes[:], 18); err == nil && (modes[0] == 2 || modes[1] == 2) {
		return errWAL
	}
	journal, err := os.Open(path + "-journal")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer journal.Close()
	var magic [1]byte
	if _, err := journal.ReadAt(magic[:], 0); err == nil && magic[0] != 0 {
		return errHot
	}
	return nil
}
