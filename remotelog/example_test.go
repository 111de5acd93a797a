package remotelog_test

import (
	"bytes"
	"fmt"
	"log"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

// A database of two chunks, whose second one is zeros, is appended to a log and read again.
func Example() {
	const name = "1563-boule%3Atest.com%3A2b53%2F%2Ftmp%2Ftest.db"
	db := make([]byte, 2*manifest.ChunkSize)
	copy(db, "SQLite format 3\x00")
	first := db[:manifest.ChunkSize]

	frames := remotelog.AppendFrame(nil, remotelog.KindChunk, first)
	chunks := []remotelog.Chunk{{Sum: manifest.Sum(first)}, {Sum: manifest.ZeroChunk}}
	chunks[0].Cover(remotelog.AllPages(len(first)), remotelog.Place{
		Object: remotelog.ObjectID{Entry: 1}, Length: int64(len(frames)), // the first frame behind the header
	})
	header, err := remotelog.EncodeEntry(&remotelog.Entry{
		Name:     remotelog.NameSum(name),
		Number:   1,
		Appended: time.Unix(1700000000, 0),
		Owner:    remotelog.Owner{Spool: [16]byte{1}},
		Header:   manifest.HeaderSum(db),
		Size:     int64(len(db)),
		Blocks: []remotelog.Block{{
			Digest:    manifest.Sum(manifest.AppendList(nil, []manifest.Fingerprint{chunks[0].Sum, chunks[1].Sum})),
			Overrides: []remotelog.Override{{Place: 0, Chunk: chunks[0]}, {Place: 1, Chunk: chunks[1]}},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	object := append(header, frames...)
	fmt.Println(remotelog.EntryKey(name, 1))

	e, length, _, err := remotelog.DecodeEntry(object)
	if err != nil {
		log.Fatal(err)
	}
	if err := e.Check(name, 1); err != nil {
		log.Fatal(err)
	}
	chunks, err = e.Block(0, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	got, err := chunks[0].Compose(0, manifest.ChunkLen(e.Size, 0), func(p remotelog.Place) (remotelog.Kind, []byte, error) {
		return remotelog.OpenFrame(object[length:][p.Offset:p.End()])
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(e.Size, "bytes,", len(chunks), "chunks; the first is the same:", bytes.Equal(got, first))
	// Output:
	// log/1563-boule%3Atest.com%3A2b53%2F%2Ftmp%2Ftest.db/0000000000000001
	// 131072 bytes, 2 chunks; the first is the same: true
}
