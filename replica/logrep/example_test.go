package logrep_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

// hello puts a log with one entry, of a "database" of a few bytes.
func hello(ctx context.Context, s store.Store, name string) error {
	data := []byte("hello, world")
	frame := remotelog.AppendFrame(nil, remotelog.KindChunk, data)
	sum := manifest.Sum(data)
	header, err := remotelog.EncodeEntry(&remotelog.Entry{
		Name: remotelog.NameSum(name), Number: 1, Appended: time.Unix(1700000000, 0).UTC(),
		Owner: remotelog.Owner{Spool: [16]byte{1}}, Header: manifest.HeaderSum(data), Size: int64(len(data)),
		Blocks: []remotelog.Block{{
			Digest: manifest.Sum(manifest.AppendList(nil, []manifest.Fingerprint{sum})),
			Overrides: []remotelog.Override{{Chunk: remotelog.Chunk{Sum: sum, Layers: []remotelog.Layer{{
				Frame: remotelog.Place{Object: remotelog.ObjectID{Entry: 1}, Length: int64(len(frame))},
				Pages: remotelog.AllPages(len(data)),
			}}}}},
		}},
	})
	if err != nil {
		return err
	}
	_, err = s.Put(ctx, remotelog.EntryKey(name, 1), append(header, frame...), store.Condition{IfAbsent: true})
	return err
}

func Example() {
	ctx := context.Background()
	s, name := mem.New(), manifest.Name("host.example", "/hello.db")
	if err := hello(ctx, s, name); err != nil {
		log.Fatal(err)
	}

	l := logrep.New(s, s, name)
	head, err := l.Head(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("entry", head.Entry.Number, "of", head.Entry.Appended)

	snapshot := l.Open(head.Entry, nil)
	word := make([]byte, 5)
	if _, err := snapshot.ReadAt(ctx, word, 7); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", word)

	out := newBuffer(head.Entry.Size)
	if err := logrep.Restore(ctx, l, head.Entry, out, nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println(bytes.Equal(out.b, []byte("hello, world")))
	// Output:
	// entry 1 of 2023-11-14 22:13:20 +0000 UTC
	// world
	// true
}
