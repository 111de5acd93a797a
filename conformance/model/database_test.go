//go:build linux || darwin || freebsd

package model

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
)

const (
	chunkSize = manifest.ChunkSize
	maxChunks = 6
)

var journalMagic = []byte{0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7}

// A db is the database file, the locks on it, and all states that it was ever in.
type db struct {
	w       *world
	path    string
	file    *os.File
	dev     uint64
	ino     uint64
	data    []byte // what the file holds
	counter uint32
	states  map[manifest.Fingerprint]bool // what it was outside of transactions
	sums    map[int]manifest.Fingerprint  // of its chunks
	now     manifest.Fingerprint          // what it is, or will be once the journal is rolled back
	peak    int64                         // its greatest size lately

	undo      []byte // what it was before a transaction that has not ended
	journal   bool   // there is one
	shared    map[*conn]bool
	reserved  *conn
	pending   *conn // wants EXCLUSIVE: nobody gets SHARED
	exclusive *conn
}

func newDB(w *world, path string) *db {
	d := &db{w: w, path: path, states: map[manifest.Fingerprint]bool{}, shared: map[*conn]bool{}}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		panic(err)
	}
	d.file = f
	info, err := fsx.Lstat(path)
	if err != nil {
		panic(err)
	}
	d.dev, d.ino = info.Dev, info.Ino
	d.settled()
	return d
}

// settled notes the state that the database is in.
func (d *db) settled() {
	var m manifest.Manifest
	d.sums = map[int]manifest.Fingerprint{}
	for off := 0; off < len(d.data); off += chunkSize {
		sum := manifest.Sum(d.data[off:min(off+chunkSize, len(d.data))])
		d.sums[len(m.Chunks)] = sum
		m.Chunks = append(m.Chunks, sum)
	}
	d.now = m.Contents()
	d.states[d.now] = true
}

func (d *db) contents() manifest.Fingerprint { return d.now }

func (d *db) existed(m *manifest.Manifest) bool { return d.states[m.Contents()] }

func appendSum(b []byte, sum manifest.Fingerprint) []byte {
	b = binary.LittleEndian.AppendUint64(b, sum.Lo)
	return binary.LittleEndian.AppendUint64(b, sum.Hi)
}

// write changes the file.
func (d *db) write(off int64, p []byte) {
	if _, err := d.file.WriteAt(p, off); err != nil {
		panic(err)
	}
	if end := int(off) + len(p); end > len(d.data) {
		d.data = append(d.data, make([]byte, end-len(d.data))...)
	}
	copy(d.data[off:], p)
	d.peak = max(d.peak, int64(len(d.data)))
}

func (d *db) truncate(size int64) {
	if err := d.file.Truncate(size); err != nil {
		panic(err)
	}
	for int64(len(d.data)) < size {
		d.data = append(d.data, make([]byte, size-int64(len(d.data)))...)
	}
	d.data = d.data[:size]
	d.peak = max(d.peak, size)
}

// begin makes the journal.
func (d *db) begin() {
	d.undo, d.journal = bytes.Clone(d.data), true
	if err := os.WriteFile(d.path+"-journal", append(bytes.Clone(journalMagic), "pages"...), 0o600); err != nil {
		panic(err)
	}
}

// end removes the journal, and with that ends the transaction.
func (d *db) end() {
	if err := os.Remove(d.path + "-journal"); err != nil {
		panic(err)
	}
	d.undo, d.journal = nil, false
	d.settled()
}

// header is what a transaction writes in the end.
func (d *db) header() []byte {
	h := make([]byte, 512)
	copy(h, "SQLite format 3\x00")
	h[18], h[19] = 1, 1
	d.counter++
	binary.BigEndian.PutUint32(h[24:], d.counter)
	return h
}

// hot says whether there is a journal of a transaction that nobody is about to end.
func (d *db) hot() bool { return d.journal && d.reserved == nil && d.exclusive == nil }

// drop releases all locks of a connection.
func (d *db) drop(c *conn) {
	delete(d.shared, c)
	for _, p := range []**conn{&d.reserved, &d.pending, &d.exclusive} {
		if *p == c {
			*p = nil
		}
	}
}

// String tells who holds which lock.
func (d *db) String() string {
	return fmt.Sprintf("shared %v, reserved %v, pending %v, exclusive %v, journal %v",
		slices.Collect(maps.Keys(d.shared)), d.reserved, d.pending, d.exclusive, d.journal)
}

// alone says whether nobody but the connection has a lock.
func (d *db) alone(c *conn) bool {
	n := len(d.shared)
	if d.shared[c] {
		n--
	}
	return n == 0 && (d.reserved == nil || d.reserved == c) && (d.exclusive == nil || d.exclusive == c) &&
		(d.pending == nil || d.pending == c)
}

// pattern returns a chunk. Number 0 is all zeros.
func pattern(v int) []byte {
	data := make([]byte, chunkSize)
	binary.BigEndian.PutUint64(data, uint64(v))
	return data
}
