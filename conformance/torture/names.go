//go:build linux

package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Who deletes or renames a database waits until nobody has it open, and nobody opens it meanwhile.
// Else SQLite, the stock program as well, may roll the journal of a new database of that name back
// into the one that is open (https://sqlite.org/howtocorrupt.html, 2.4). Connections hold the lock of the
// names shared. They take it through a gate, which the surgeon closes, so that it gets its turn.

// leftJournal says whether a killed process left a journal beside a database that is locked EXCLUSIVE and was not written to
// since. There may be one: while the process dies its lock on the names goes before that on the file, so that whoever comes then takes
// the journal for that of a living one. It undoes nothing in this file, but everything in the next one of that name.
func leftJournal(db string) (bool, error) {
	f, err := os.Open(db + "-journal")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	var first [1]byte
	_, err = io.ReadFull(f, first[:])
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	return first[0] != 0, err // as SQLite sees it
}

// keepNames holds the names of a slot until release is called, or the process dies.
func (s slot) keepNames(dir string) (release func(), err error) {
	if len(s.Names) < 2 {
		return func() {}, nil
	}
	gate, err := flock(dir, "gate", unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer gate()
	return flock(dir, "names", unix.LOCK_SH)
}

// changeNames waits until nobody keeps the names of the slots, and then does so alone.
func changeNames(dir string) (release func(), err error) {
	gate, err := flock(dir, "gate", unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	names, err := flock(dir, "names", unix.LOCK_EX)
	if err != nil {
		gate()
		return nil, err
	}
	return func() { names(); gate() }, nil
}

func flock(dir, name string, how int) (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "."+name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		if err = unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}
