package boule

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/boule-db/boule/internal/instance"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/tracker"
)

// maxHeld bounds the files that are held open by readHeader, as an eighth of the file descriptors that the process may have does.
const maxHeld = 256

// held are files of databases that were only looked at. They stay open: to close any
// descriptor of a file drops all POSIX locks that this process has on it, and another
// copy of SQLite in it may have some (https://sqlite.org/howtocorrupt.html, 2.2).
var held struct {
	sync.Mutex // guards the following, and reading from the files
	files      map[string]*os.File
}

// hold returns the file at path, open. held is locked.
func hold(path string) (*os.File, error) {
	now, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if f := held.files[path]; f != nil {
		if then, err := f.Stat(); err == nil && os.SameFile(then, now) {
			return f, nil
		}
		f.Close() // of a file that was deleted or replaced
		delete(held.files, path)
	}
	if !now.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if len(held.files) >= max(min(maxHeld, instance.OpenFiles()/8), 1) {
		for other, old := range held.files {
			old.Close()
			delete(held.files, other)
			break
		}
	}
	if held.files == nil {
		held.files = map[string]*os.File{}
	}
	held.files[path] = f
	return f, nil
}

// readHeader reads what SQLite's header says of the database's state.
func readHeader(path string) (header manifest.Fingerprint, mode string, size int64, changed time.Time) {
	held.Lock()
	defer held.Unlock()
	f, err := hold(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return header, "absent", 0, changed
		}
		return header, "unreadable", 0, changed
	}
	fi, err := f.Stat()
	if err != nil {
		return header, "unreadable", 0, changed
	}
	buf := make([]byte, manifest.HeaderSize)
	switch n, err := f.ReadAt(buf, 0); {
	case n == 0 && errors.Is(err, io.EOF):
		return header, "empty", 0, fi.ModTime()
	case n < len(buf):
		return header, "unreadable", fi.Size(), fi.ModTime()
	}
	mode = "rollback"
	if buf[18] == 2 || buf[19] == 2 {
		mode = "wal"
	}
	return manifest.HeaderSum(buf), mode, fi.Size(), fi.ModTime()
}

// readID reads the version id of a database whose header has that fingerprint; empty if it has none.
func readID(path string, header manifest.Fingerprint) []byte {
	held.Lock()
	defer held.Unlock()
	f, err := hold(path)
	if err != nil {
		return nil
	}
	return tracker.VersionID(f.Fd(), header)
}
