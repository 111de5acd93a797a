package replica_test

import (
	"bytes"
	"context"
	"fmt"
	"log"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

func ExampleRestoreTo() {
	ctx := context.Background()

	// A copier has put a small database here: one chunk, which is in the manifest.
	db := []byte("SQLite format 3\x00, and so on")
	encoded, err := manifest.Encode(&manifest.Manifest{
		Header: manifest.HeaderSum(db), Size: int64(len(db)), First: db, Chunks: []manifest.Fingerprint{manifest.Sum(db)},
	})
	if err != nil {
		log.Fatal(err)
	}
	bucket := mem.New()
	name := manifest.Name("host.example", "/srv/app.db")
	if _, err := bucket.Put(ctx, "manifests/"+name, manifest.Compress(encoded), store.Condition{}); err != nil {
		log.Fatal(err)
	}

	// Somebody else restores it.
	sources := []replica.Source{{
		Name:      "the bucket",
		Chunks:    store.WithPrefix(bucket, "chunks/"),
		Manifests: store.WithPrefix(bucket, "manifests/"),
	}}
	ref, err := replica.ParseRef("boule://host.example/srv/app.db")
	if err != nil {
		log.Fatal(err)
	}
	remote, err := replica.FetchRef(ctx, ref, &replica.FetchOptions{Sources: sources})
	if err != nil {
		log.Fatal(err)
	}
	var out bytes.Buffer
	if err := replica.RestoreTo(ctx, remote.Manifest, sources, &out, nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println(out.Len(), "bytes from", remote.Source, bytes.Equal(out.Bytes(), db))
	// Output: 27 bytes from the bucket true
}
