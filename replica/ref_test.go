package replica_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/store"
)

func TestParseRef(t *testing.T) {
	for _, c := range []struct {
		in   string
		want replica.Ref
		out  string // of String, if that is not in
	}{
		{"boule://host.example/srv/a.db", replica.Ref{Kind: replica.RefDatabase, Host: "host.example", Path: "/srv/a.db"}, ""},
		{"boule:///srv/a.db", replica.Ref{Kind: replica.RefDatabase, Path: "/srv/a.db"}, ""},
		{"BOULE://h/50%25 of #1?.db", replica.Ref{Kind: replica.RefDatabase, Host: "h", Path: "/50%25 of #1?.db"}, "boule://h/50%25 of #1?.db"},
		{"boule://h//a", replica.Ref{Kind: replica.RefDatabase, Host: "h", Path: "//a"}, ""},
		{"http://h:8080/m?x=1", replica.Ref{Kind: replica.RefHTTP, URL: "http://h:8080/m?x=1"}, ""},
		{"https://h/" + name, replica.Ref{Kind: replica.RefHTTP, URL: "https://h/" + name}, ""},
		{"s3://bucket/manifests/" + name, replica.Ref{Kind: replica.RefS3, Bucket: "bucket", Key: "manifests/" + name}, ""},
		{"s3://bu.ck.et/k?region=eu&endpoint=https%3A%2F%2Fh%3A1&path_style=true", replica.Ref{
			Kind: replica.RefS3, Bucket: "bu.ck.et", Key: "k", Region: "eu", Endpoint: "https://h:1", PathStyle: "1",
		}, "s3://bu.ck.et/k?endpoint=https%3A%2F%2Fh%3A1&path_style=1&region=eu"},
		{"s3://b/k?path_style=0", replica.Ref{Kind: replica.RefS3, Bucket: "b", Key: "k", PathStyle: "0"}, ""},
		{"file:///srv/a%20b.manifest", replica.Ref{Kind: replica.RefFile, Path: filepath.FromSlash("/srv/a b.manifest")}, filepath.FromSlash("/srv/a b.manifest")},
		{"file://localhost/m", replica.Ref{Kind: replica.RefFile, Path: filepath.FromSlash("/m")}, filepath.FromSlash("/m")},
		{"/srv/100%.manifest", replica.Ref{Kind: replica.RefFile, Path: "/srv/100%.manifest"}, ""},
		{"manifest", replica.Ref{Kind: replica.RefFile, Path: "manifest"}, ""},
	} {
		got, err := replica.ParseRef(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.in, diff)
		}
		want := c.out
		if want == "" {
			want = c.in
		}
		if s := got.String(); s != want {
			t.Errorf("%s: String: got %s, want %s", c.in, s, want)
		}
		if again, err := replica.ParseRef(got.String()); again != got || err != nil {
			t.Errorf("%s: parsed again: got %v, %v", c.in, again, err)
		}
	}
}

func TestParseRefRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"empty":             "",
		"NUL":               "a\x00b",
		"unknown scheme":    "ftp://h/m",
		"no path":           "boule://host",
		"no path, slash":    "boule://host/",
		"no host":           "http:///m",
		"bad URL":           "http://h:port/m",
		"no key":            "s3://bucket",
		"no key, slash":     "s3://bucket/",
		"no bucket":         "s3:///key",
		"credentials":       "s3://id:secret@bucket/key",
		"credentials, host": "s3://id:secret@bucket:99/key?region=x",
		"parameter":         "s3://bucket/key?reigon=eu",
		"twice":             "s3://bucket/key?region=a&region=b",
		"path style":        "s3://bucket/key?path_style=maybe",
		"bad query":         "s3://bucket/key?region=%zz",
		"relative file":     "file://a/b",
		"file parameter":    "file:///a?b",
		"file fragment":     "file:///a#b",
		"no file":           "file:///",
		"file NUL":          "file:///a%00b",
		"secret in bad URL": "http://id:secret@h:port/m",
	} {
		ref, err := replica.ParseRef(in)
		wantIs(t, name, err, replica.ErrBadRef)
		if ref != (replica.Ref{}) {
			t.Errorf("%s: got %v", name, ref)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "boule://HOST/path")) {
			t.Errorf("%s: got %q", name, err)
		}
	}
}

func TestRefNames(t *testing.T) {
	parse := func(s string) replica.Ref {
		ref, err := replica.ParseRef(s)
		check(t, err)
		return ref
	}
	if got, want := parse("boule://test.com/tmp/test.db").ManifestName("here"), name; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := parse("boule:///tmp/test.db").ManifestName("test.com"), name; got != want {
		t.Errorf("this machine: got %s, want %s", got, want)
	}
	if got := parse("manifest").ManifestName("here"); got != "" {
		t.Errorf("file: got %s", got)
	}
	if got, want := parse("s3://b/a/k?region=eu&path_style=1").StoreURL(), "s3://b?path_style=1&region=eu"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := parse("manifest").StoreURL(); got != "" {
		t.Errorf("file: got %s", got)
	}
	if got := (replica.Ref{}).String(); got != "" {
		t.Errorf("zero: got %s", got)
	}
}

func TestFetchRef(t *testing.T) {
	db := content(1000, 1)
	b := newBucket()
	want := b.upload(t, db)
	encoded, err := manifest.Encode(want)
	check(t, err)
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "raw"), encoded, 0o644))
	check(t, os.WriteFile(filepath.Join(dir, "packed"), manifest.Compress(encoded), 0o644))
	check(t, os.WriteFile(filepath.Join(dir, "junk"), []byte("junk"), 0o644))
	errNet := errors.New("no network")
	opts := &replica.FetchOptions{
		Hostname: "test.com",
		Sources:  b.sources(),
		Open: func(_ context.Context, ref replica.Ref) ([]byte, error) {
			switch {
			case ref.Kind == replica.RefHTTP && ref.URL == "https://h/m", ref.Kind == replica.RefS3 && ref.Key == "m":
				return manifest.Compress(encoded), nil
			case ref.Key == "absent":
				return nil, store.ErrNotExist
			}
			return nil, errNet
		},
	}
	for _, c := range []struct {
		ref string
		err error
	}{
		{"boule://test.com/tmp/test.db", nil},
		{"boule:///tmp/test.db", nil},
		{"boule://other/tmp/test.db", replica.ErrNotFound},
		{filepath.Join(dir, "raw"), nil},
		{"file://" + filepath.ToSlash(filepath.Join(dir, "packed")), nil},
		{filepath.Join(dir, "junk"), manifest.ErrCorrupt},
		{filepath.Join(dir, "absent"), replica.ErrNotFound},
		{filepath.Join(dir, "absent"), fs.ErrNotExist},
		{"https://h/m", nil},
		{"https://user:secret@h/other", errNet},
		{"s3://b/m", nil},
		{"s3://b/absent", replica.ErrNotFound},
	} {
		ref, err := replica.ParseRef(c.ref)
		check(t, err)
		got, err := replica.FetchRef(t.Context(), ref, opts)
		if c.err != nil {
			wantIs(t, c.ref, err, c.err)
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: got %q", c.ref, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.ref, err)
			continue
		}
		if diff := cmp.Diff(want, got.Manifest); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.ref, diff)
		}
		wantBytes(t, c.ref, got.Encoded, encoded)
	}
	ref, err := replica.ParseRef("https://h/m")
	check(t, err)
	_, err = replica.FetchRef(t.Context(), ref, nil)
	wantIs(t, "no opener", err, replica.ErrNoSource)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	ref, err = replica.ParseRef("https://h/other")
	check(t, err)
	_, err = replica.FetchRef(ctx, ref, opts)
	wantIs(t, "cancelled", err, cause)
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"boule://h/p", "boule:///p", "s3://b/k?region=eu", "http://h/m", "file:///a%20b", "x", "s3://b/%2F", "//a://b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := replica.ParseRef(s)
		if err != nil {
			wantIs(t, s, err, replica.ErrBadRef)
			return
		}
		if ref.Kind == replica.RefHTTP || ref.Kind == replica.RefFile {
			return // URLs have several spellings, paths may look like URLs
		}
		if again, err := replica.ParseRef(ref.String()); again != ref || err != nil {
			t.Errorf("%q: %q: got %+v, %v, want %+v", s, ref.String(), again, err, ref)
		}
	})
}
