package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3/vfs"
	"golang.org/x/sys/unix"

	"github.com/boule-db/boule/spool"
)

// A watch sees to it that each transaction of a connection leaves a snapshot.
type watch struct {
	db     *watched
	params string // of the database's URI
	wrote  bool   // something that no snapshot has been taken of yet
}

// A watched database is what all connections of the process to it share.
type watched struct {
	dev, ino  uint64
	path      string
	fd        int           // of our own: SQLite's are closed now and then
	snapshots atomic.Uint64 // that were validated
	refs      int
}

type inode struct{ dev, ino uint64 }

var databases struct {
	sync.Mutex // guards m

	m map[inode]*watched
}

// watching begins to watch a database; nil if it is not replicated.
func watching(f *file, params string) *watch {
	if replication == nil {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.fd), &st); err != nil {
		fatal("fstat of %s: %v", f.path, err)
	}
	databases.Lock()
	defer databases.Unlock()
	key := inode{uint64(st.Dev), st.Ino}
	d := databases.m[key]
	if d == nil {
		fd, err := unix.FcntlInt(f.fd, unix.F_DUPFD_CLOEXEC, 100)
		if err != nil {
			fatal("second descriptor of %s: %v", f.path, err)
		}
		d = &watched{dev: key.dev, ino: key.ino, path: f.path, fd: fd}
		if databases.m == nil {
			databases.m = map[inode]*watched{}
		}
		databases.m[key] = d
	}
	d.refs++
	return &watch{db: d, params: params}
}

func (w *watch) end() {
	databases.Lock()
	defer databases.Unlock()
	w.db.refs--
	if w.db.refs == 0 {
		delete(databases.m, inode{w.db.dev, w.db.ino})
		unix.Close(w.db.fd)
	}
}

func (f *file) changes() {
	if f.watch != nil {
		f.watch.wrote = true
	}
}

// unlocking unlocks the database, which must leave a snapshot if this connection wrote.
func (f *file) unlocking(level vfs.LockLevel, unlock func() int32) int32 {
	w := f.watch
	if w == nil || !w.wrote || f.held() <= max(level, vfs.LOCK_SHARED) {
		return unlock()
	}
	why := f.excuse()
	before := w.db.snapshots.Load()
	rc := unlock()
	w.wrote = false
	count(transactions)
	f.judge(before, why)
	return rc
}

// committing is the end of a transaction in locking_mode=EXCLUSIVE, where there may be a snapshot.
func (f *file) committing(commit func() int32) int32 {
	w := f.watch
	if w == nil || !w.wrote {
		return commit()
	}
	before := w.db.snapshots.Load()
	rc := commit()
	if w.db.snapshots.Load() != before {
		count(transactions)
		w.wrote = false
	}
	return rc
}

// closing closes the file. What a connection wrote has been unlocked before.
func (f *file) closing(close func() int32) int32 {
	if f.watch != nil {
		defer f.watch.end()
	}
	return close()
}

// judge judges what a transaction left.
func (f *file) judge(before uint64, why counter) {
	if f.watch.db.snapshots.Load() != before {
		return
	}
	if why == noExcuse {
		why = f.excuse()
	}
	switch {
	case why != noExcuse:
		count(why)
	case delay > 0:
		count(delayed)
	default:
		h, _ := replication.manager.Health(f.path)
		violation("%s: a transaction left no snapshot: state %s: %v", f.path, h.State, h.LastError)
	}
}

// excuse says why there need not be a snapshot now.
func (f *file) excuse() counter {
	for _, p := range strings.Split(f.watch.params, "&") {
		if strings.HasPrefix(p, "nolock=") || strings.HasPrefix(p, "immutable=") {
			return excusedUntracked
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.fd), &st); err != nil {
		fatal("fstat of %s: %v", f.path, err)
	}
	if st.Size == 0 {
		return excusedEmpty
	}
	var header [20]byte
	if n, _ := unix.Pread(int(f.fd), header[:], 0); n == len(header) && (header[18] == 2 || header[19] == 2) {
		return excusedWAL
	}
	journal, err := os.Open(f.path + "-journal")
	if err == nil {
		defer journal.Close()
		var magic [8]byte
		if _, err := io.ReadFull(journal, magic[:]); err == nil && magic == [8]byte{0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7} {
			return excusedHot
		}
	}
	return noExcuse
}

// snapshotTaken is told by the tracker, within the unlocking of the database, that what is
// staged is the state of the database. It must be.
func snapshotTaken(key spool.Key) {
	databases.Lock()
	d := databases.m[inode{key.Dev, key.Ino}]
	databases.Unlock()
	if d == nil {
		fatal("snapshot of %s, which is not open", key)
	}
	switch planted {
	case skipsSnapshots:
		return
	case missesWrites:
		d.tamper()
	}
	if err := d.validate(key); err != nil {
		violation("%s: %v", d.path, err)
	}
	count(validated)
	d.snapshots.Add(1)
	if err := replication.random(d, key); err != nil {
		violation("%s: %v", d.path, err)
	}
}

var errDiffers = errors.New("the snapshot is not the database")

// validate compares what is staged with the database.
func (d *watched) validate(key spool.Key) error {
	want, err := d.contents()
	if err != nil {
		return err
	}
	got, err := replication.staged(key)
	if err != nil {
		return fmt.Errorf("put together what is staged: %w", err)
	}
	return differ(want, got)
}

func differ(want, got []byte) error {
	if bytes.Equal(want, got) {
		return nil
	}
	at := 0
	for at < len(want) && at < len(got) && want[at] == got[at] {
		at++
	}
	return fmt.Errorf("%w: %d bytes instead of %d, the first difference at %d", errDiffers, len(got), len(want), at)
}

// contents reads the database.
func (d *watched) contents() ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd, &st); err != nil {
		return nil, err
	}
	b := make([]byte, st.Size)
	for n := 0; n < len(b); {
		k, err := unix.Pread(d.fd, b[n:], int64(n))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, err
		case k == 0:
			return nil, io.ErrUnexpectedEOF
		}
		n += max(k, 0)
	}
	return b, nil
}
