package replica_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/store"
)

// Each kind of damage is found by those who look for it, and told once.
func TestCheck(t *testing.T) {
	db := mixed(20*manifest.ChunkSize+500, 1)
	list := describe(db).Chunks
	unique := list[3]
	for _, c := range []struct {
		what           string
		damage         func(b *bucket, key string)
		unread, always bool // found without reading, and with
	}{
		{"nothing", func(*bucket, string) {}, false, false},
		{"gone", func(b *bucket, key string) { check(t, b.raw.Delete(t.Context(), key)) }, true, true},
		{"empty", func(b *bucket, key string) { b.put(t, key, nil) }, true, true},
		{"another chunk", func(b *bucket, key string) { b.put(t, key, manifest.Compress(chunkOf(db, 8))) }, false, true},
		{"garbage", func(b *bucket, key string) { b.put(t, key, []byte("garbage")) }, false, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			b := newBucket()
			m := b.upload(t, db)
			c.damage(b, "chunks/"+unique.ChunkName())
			for _, percent := range []int{0, 100} {
				var got, want []string
				if c.unread && percent == 0 || c.always && percent > 0 {
					want = []string{unique.ChunkName()}
				}
				last := 0
				stats, err := replica.Check(t.Context(), m, b.source("only"), &replica.CheckOptions{
					Percent: percent, Progress: func(done, _ int) { last = done },
				}, func(object string, err error) { got = append(got, object) })
				check(t, err)
				if !slices.Equal(got, want) || stats.Faults != len(want) {
					t.Errorf("%d%%: found %v, want %v; %+v", percent, got, want, stats)
				}
				if last != len(list) {
					t.Errorf("%d%%: progress ended at %d of %d", percent, last, len(list))
				}
				if percent > 0 && stats.Read != stats.Asked-len(want) || percent == 0 && stats.Read != 0 {
					t.Errorf("%d%%: %+v", percent, stats)
				}
			}
		})
	}
}

// A part of the chunks is read, each by one of the shifts.
func TestCheckPart(t *testing.T) {
	db := content(60*manifest.ChunkSize, 1)
	b := newBucket()
	m := b.upload(t, db)
	total := 0
	for shift := uint32(0); shift < 100; shift += 20 {
		stats, err := replica.Check(t.Context(), m, b.source("only"), &replica.CheckOptions{Percent: 20, Shift: shift}, nil)
		check(t, err)
		if stats.Asked != 59 || stats.Read > 40 {
			t.Errorf("%+v", stats)
		}
		total += stats.Read
	}
	if total != 59 {
		t.Errorf("%d of 59 chunks were read", total)
	}
}

// An index block that is damaged is a fault, and a store that can't be asked none.
func TestCheckIndex(t *testing.T) {
	db := content(5*manifest.ChunkSize, 1)
	b := newBucket()
	m := b.upload(t, db)
	block := manifest.AppendList(nil, m.Chunks)
	m.Blocks = []manifest.Block{{Stored: manifest.Sum(block), Digest: manifest.Sum(block)}}
	m.Chunks = nil
	run := func() (got []string, err error) {
		_, err = replica.Check(t.Context(), m, b.source("only"), nil, func(object string, err error) { got = append(got, object) })
		return got, err
	}
	name := m.Blocks[0].Stored.ChunkName()
	b.put(t, "chunks/"+name, manifest.Compress(block))
	if got, err := run(); got != nil || err != nil {
		t.Errorf("sound: %v, %v", got, err)
	}
	b.put(t, "chunks/"+name, manifest.Compress(block[16:]))
	if got, err := run(); !slices.Equal(got, []string{name}) || err != nil {
		t.Errorf("damaged: %v, %v", got, err)
	}
	src := b.source("only")
	src.Chunks = broken{src.Chunks}
	_, err := replica.Check(t.Context(), m, src, nil, func(object string, err error) { t.Errorf("%s: %v", object, err) })
	wantIs(t, "broken", err, errBroken)
}

var errBroken = errors.New("broken")

type broken struct{ store.Store }

func (broken) Get(context.Context, string, *store.GetOptions) (*store.Object, error) {
	return nil, errBroken
}
