package manifest_test

import (
	"fmt"
	"log"

	"github.com/boule-db/boule/manifest"
)

// A manifest is found in a store by the host and the path of its database.
func ExampleName() {
	name := manifest.Name("test.com", "/tmp/test.db")
	fmt.Println(name)
	host, path, ok := manifest.ParseName(name)
	fmt.Println(host, path, ok)
	// Output:
	// 1563-boule%3Atest.com%3A2b53%2F%2Ftmp%2Ftest.db
	// test.com /tmp/test.db true
}

func ExampleDecode() {
	db := make([]byte, 2*manifest.ChunkSize)
	copy(db, "SQLite format 3\x00")
	m := &manifest.Manifest{
		Header:    manifest.HeaderSum(db),
		Size:      int64(len(db)),
		Generator: "example",
		First:     db[:manifest.ChunkSize],
		Chunks:    []manifest.Fingerprint{manifest.Sum(db[:manifest.ChunkSize]), manifest.ZeroChunk},
	}
	encoded, err := manifest.Encode(m)
	if err != nil {
		log.Fatal(err)
	}
	// As it is kept in a store.
	decoded, err := manifest.Decode(manifest.Compress(encoded))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(decoded.Size, "bytes,", len(decoded.Chunks), "chunks, by", decoded.Generator)
	fmt.Println(decoded.Contents())
	// Output:
	// 131072 bytes, 2 chunks, by example
	// 96137df0200330db1170d648046c629e
}
