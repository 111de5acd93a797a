package replica_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/store"
)

func TestFetchManifest(t *testing.T) {
	b := newBucket()
	want := b.upload(t, content(100000, 1))
	m, encoded, src, err := replica.FetchManifest(t.Context(), b.sources(), name)
	check(t, err)
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again, err := manifest.Encode(want)
	check(t, err)
	wantBytes(t, "encoded", encoded, again)
	if src.Name != "only" {
		t.Errorf("source: got %v", src)
	}

	b.put(t, "manifests/"+name, encoded) // as it is, not compressed
	m, raw, _, err := replica.FetchManifest(t.Context(), b.sources(), name)
	check(t, err)
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("not compressed (-want +got):\n%s", diff)
	}
	wantBytes(t, "encoded", raw, encoded)
}

func TestFetchManifestFailover(t *testing.T) {
	newer := []byte{0x08, 0x02}
	for _, c := range []struct {
		name  string
		spoil func(b *bucket)
	}{
		{"absent", func(b *bucket) { check(t, b.raw.Delete(context.Background(), "manifests/"+name)) }},
		{"failing", func(b *bucket) { b.faulty.SetPlan(storefault.Always(storefault.Fault{Fail: true})) }},
		{"breaking off", func(b *bucket) { b.faulty.SetPlan(storefault.Always(storefault.Fault{After: 10})) }},
		{"corrupt", func(b *bucket) { b.put(t, "manifests/"+name, []byte("<html>")) }},
		{"empty", func(b *bucket) { b.put(t, "manifests/"+name, nil) }},
		{"too new", func(b *bucket) { b.put(t, "manifests/"+name, newer) }},
	} {
		bad, good := newBucket(), newBucket()
		bad.upload(t, content(1000, 1))
		want := good.upload(t, content(1000, 2))
		c.spoil(bad)
		sources := []replica.Source{{Name: "chunks only", Chunks: good.raw}, bad.source("bad"), good.source("good")}
		m, _, src, err := replica.FetchManifest(t.Context(), sources, name)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if src.Name != "good" || m.Chunks[0] != want.Chunks[0] {
			t.Errorf("%s: got one from %v", c.name, src)
		}
	}
}

func TestFetchManifestPrefersTheFirst(t *testing.T) {
	first, second := newBucket(), newBucket()
	first.upload(t, content(1000, 1))
	second.upload(t, content(1000, 2))
	_, _, src, err := replica.FetchManifest(t.Context(), []replica.Source{first.source("first"), second.source("second")}, name)
	check(t, err)
	if src.Name != "first" {
		t.Errorf("got %v", src)
	}
	if n := len(second.faulty.Calls()); n != 0 {
		t.Errorf("the second was asked %d times", n)
	}
}

func TestFetchManifestOfNobody(t *testing.T) {
	one, two := newBucket(), newBucket()
	sources := []replica.Source{one.source("alpha"), two.source("beta")}
	_, _, _, err := replica.FetchManifest(t.Context(), sources, name)
	wantIs(t, "absent everywhere", err, replica.ErrNotFound)
	for _, part := range []string{name, "alpha", "beta"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}

	two.faulty.SetPlan(storefault.Always(storefault.Fault{Fail: true}))
	_, _, _, err = replica.FetchManifest(t.Context(), sources, name)
	wantIs(t, "one failing", err, storefault.ErrInjected)
	wantIs(t, "one failing", err, store.ErrNotExist)
	if errors.Is(err, replica.ErrNotFound) {
		t.Errorf("one failing: got %v, which claims too much", err)
	}

	one.put(t, "manifests/"+name, []byte("junk"))
	_, _, _, err = replica.FetchManifest(t.Context(), sources, name)
	wantIs(t, "one corrupt", err, manifest.ErrCorrupt)
	one.put(t, "manifests/"+name, []byte{0x08, 0x07})
	_, _, _, err = replica.FetchManifest(t.Context(), sources, name)
	wantIs(t, "one too new", err, manifest.ErrVersion)

	_, _, _, err = replica.FetchManifest(t.Context(), nil, name)
	wantIs(t, "no sources", err, replica.ErrNoSource)
	_, _, _, err = replica.FetchManifest(t.Context(), []replica.Source{{Chunks: one.raw}}, name)
	wantIs(t, "no manifests", err, replica.ErrNoSource)
}

func TestFetchManifestCancelled(t *testing.T) {
	b := newBucket()
	b.upload(t, content(1000, 1))
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	_, _, _, err := replica.FetchManifest(ctx, []replica.Source{b.source("a"), b.source("b")}, name)
	wantIs(t, "cancelled", err, cause)
	if n := len(b.faulty.Calls()); n > 1 {
		t.Errorf("went on to ask %d times", n)
	}
}

func TestPoll(t *testing.T) {
	b := newBucket()
	b.upload(t, content(1000, 1))
	first, err := replica.Poll(t.Context(), b.sources(), name, nil)
	check(t, err)
	second, err := replica.Poll(t.Context(), b.sources(), name, first)
	check(t, err)
	if second != first {
		t.Error("nothing changed, but it was fetched again")
	}
	b.upload(t, content(1000, 2))
	third, err := replica.Poll(t.Context(), b.sources(), name, first)
	check(t, err)
	if third == first || third.Manifest.Chunks[0] == first.Manifest.Chunks[0] {
		t.Error("it changed, but was not fetched")
	}
	if got, want := b.faulty.Count(store.VerbGet), 3; got != want {
		t.Errorf("got %d requests, want %d", got, want)
	}
	// The ETag of one source says nothing about another.
	other := newBucket()
	other.upload(t, content(1000, 3))
	fourth, err := replica.Poll(t.Context(), []replica.Source{other.source("other")}, name, &replica.Remote{Source: b.source("only"), ETag: "1"})
	check(t, err)
	if fourth.Source.Name != "other" {
		t.Errorf("got %v", fourth.Source)
	}
}

func TestParse(t *testing.T) {
	m := describe(content(1000, 1))
	encoded, err := manifest.Encode(m)
	check(t, err)
	for name, body := range map[string][]byte{"raw": encoded, "compressed": manifest.Compress(encoded)} {
		got, b, err := replica.Parse(body)
		check(t, err)
		if !bytes.Equal(b, encoded) || got.Chunks[0] != m.Chunks[0] {
			t.Errorf("%s: got %v", name, got)
		}
	}
	_, _, err = replica.Parse(nil)
	wantIs(t, "nothing", err, manifest.ErrCorrupt)
}

func TestSourceString(t *testing.T) {
	b := newBucket()
	for _, c := range []struct {
		src  replica.Source
		want string
	}{
		{replica.Source{Name: "n", Chunks: b.raw}, "n"},
		{replica.Source{Chunks: b.raw}, "mem://"},
		{replica.Source{Manifests: b.raw}, "mem://"},
		{replica.Source{}, "(nothing)"},
	} {
		if got := c.src.String(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}
