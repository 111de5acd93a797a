//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"
)

// Prints are fingerprints of a database file.
type prints struct {
	header string // of SQLite's header
	whole  string // of all bytes
	live   string // of all pages but the leaves of the free list
}

const headerSize = 100

var errNotDatabase = errors.New("not a database in a rollback journal mode")

// fingerprint reads a file that nobody changes meanwhile. What pages of the free list hold means
// nothing to SQLite, which therefore does not restore it when a transaction that had
// begun to write them is rolled back: live leaves them out.
func fingerprint(r io.ReaderAt, size int64) (p prints, err error) {
	h := make([]byte, headerSize)
	if _, err := r.ReadAt(h, 0); err != nil {
		return p, fmt.Errorf("%w: %w", errNotDatabase, err)
	}
	pageSize := int64(binary.BigEndian.Uint16(h[16:]))
	if pageSize == 1 {
		pageSize = 65536
	}
	if h[18] != 1 || h[19] != 1 || pageSize < 512 {
		return p, errNotDatabase
	}
	free, err := freeLeaves(r, pageSize, binary.BigEndian.Uint32(h[32:]))
	if err != nil {
		return p, err
	}
	var whole, live xxh3.Hasher
	page := make([]byte, pageSize)
	for off := int64(0); off < size; off += pageSize {
		n, err := r.ReadAt(page[:min(pageSize, size-off)], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return p, err
		}
		_, _ = whole.Write(page[:n])
		if !free[uint32(off/pageSize)+1] {
			_, _ = live.Write(page[:n])
		}
	}
	return prints{
		header: fmt.Sprintf("%016x", xxh3.Hash(h)),
		whole:  fmt.Sprintf("%016x", whole.Sum64()),
		live:   fmt.Sprintf("%016x", live.Sum64()),
	}, nil
}

// freeLeaves follows the trunks of the free list.
// https://sqlite.org/fileformat2.html#the_freelist
func freeLeaves(r io.ReaderAt, pageSize int64, trunk uint32) (map[uint32]bool, error) {
	free := map[uint32]bool{}
	page := make([]byte, pageSize)
	for seen := 0; trunk != 0; seen++ {
		if _, err := r.ReadAt(page, int64(trunk-1)*pageSize); err != nil {
			return nil, fmt.Errorf("free list: %w", err)
		}
		n := int64(binary.BigEndian.Uint32(page[4:]))
		if n > pageSize/4-2 || seen > 1<<20 {
			return nil, errors.New("free list: damaged")
		}
		for i := range n {
			free[binary.BigEndian.Uint32(page[8+4*i:])] = true
		}
		trunk = binary.BigEndian.Uint32(page)
	}
	return free, nil
}
