package storeurl_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/conformance/storetest/fakes3"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/budget"
	"github.com/boule-db/boule/store/storeurl"
)

func TestParse(t *testing.T) {
	if runtime.GOOS == "windows" {
		u, err := storeurl.Parse("file:///C:/dir/x")
		if err != nil || u.Dir != `C:\dir\x` || u.String() != "file:///C:/dir/x" {
			t.Errorf("got %+v, %v", u, err)
		}
		return
	}
	for raw, want := range map[string]storeurl.URL{
		"file:///var/replicas":          {Dir: "/var/replicas"},
		"file:///var/replicas/":         {Dir: "/var/replicas"},
		"file://localhost/var/a%20b%25": {Dir: "/var/a b%"},
		"s3://bucket":                   {Bucket: "bucket"},
		"s3://my.bucket_1/":             {Bucket: "my.bucket_1"},
		"s3://bucket/a/b/":              {Bucket: "bucket", Prefix: "a/b"},
		"s3://bucket/a%20b?region=eu-central-1": {
			Bucket: "bucket", Prefix: "a b", Region: "eu-central-1",
		},
		"s3://bucket?endpoint=http://127.0.0.1:9000": {
			Bucket: "bucket", Endpoint: "http://127.0.0.1:9000", PathStyle: true,
		},
		"s3://bucket?endpoint=https%3A%2F%2Fminio&path_style=0&create_bucket=true&checksum=when_supported": {
			Bucket: "bucket", Endpoint: "https://minio", CreateBucket: true, Checksum: "when_supported",
		},
		"s3://bucket?path_style=1": {Bucket: "bucket", PathStyle: true},
	} {
		got, err := storeurl.Parse(raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (- want, + got):\n%s", raw, d)
		}
		again, err := storeurl.Parse(got.String())
		if err != nil {
			t.Errorf("%s becomes %s: %v", raw, got, err)
		}
		if d := cmp.Diff(got, again); d != "" {
			t.Errorf("%s becomes %s (- want, + got):\n%s", raw, got, d)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for raw, want := range map[string]string{
		"":                              "it has no scheme; write file:///absolute/directory or s3://bucket/prefix",
		"/var/replicas":                 "it has no scheme; write file:///absolute/directory",
		"ftp://host/x":                  `unknown scheme "ftp"; write file:///absolute/directory or s3://bucket/prefix`,
		"file:replicas":                 "the directory must be absolute; write file:///absolute/directory",
		"file://replicas/x":             "the directory must be absolute",
		"file://":                       "the directory must be absolute",
		"file:///dir?sync=1":            "file URLs have no parameters",
		"file:///dir#x":                 "it has a fragment",
		"file:///dir%00":                "NUL",
		"s3://":                         "the bucket is missing; write s3://bucket/prefix",
		"s3:///prefix":                  "the bucket is missing",
		"s3:bucket":                     "the bucket is missing",
		"s3://host:9000/bucket":         `"host:9000" is no bucket name`,
		"s3://key:geheim@bucket/x":      "credentials do not belong in it; set AWS_ACCESS_KEY_ID",
		"s3://key:geh%zz@bucket/x":      "invalid",
		"s3://bucket?Region=x":          `unknown parameter "Region"; there are checksum, create_bucket, endpoint, path_style, region`,
		"s3://bucket?region=a&region=b": `parameter "region" is given 2 times`,
		"s3://bucket?path_style=yes":    `parameter path_style is "yes"; write 1 or 0`,
		"s3://bucket?create_bucket=2":   `parameter create_bucket is "2"; write 1 or 0`,
		"s3://bucket?endpoint=ftp://x":  "the endpoint is no URL; write http://host:port",
		"s3://bucket?endpoint=http://me:geheim@x": "credentials do not belong in the endpoint",
		"s3://bucket?checksum=md5":                `checksum is "md5"; write when_required or when_supported`,
		"s3://bucket?region=%zz":                  "invalid URL escape",
		"s3://bucket/%ff":                         "not UTF-8",
	} {
		_, err := storeurl.Parse(raw)
		if !errors.Is(err, storeurl.ErrBadURL) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want %q", raw, err, want)
			continue
		}
		if strings.Contains(err.Error(), "geh") {
			t.Errorf("%s: error %q gives the secret away", raw, err)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %q is more than a sentence", raw, err)
		}
	}
}

func TestOpenFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b")
	s, err := storeurl.Open(t.Context(), storeurl.URL{Dir: dir}.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "x/y", []byte("z"), store.Condition{}); err != nil {
		t.Fatal(err)
	}
	if body, err := os.ReadFile(filepath.Join(dir, "x", "y")); err != nil || string(body) != "z" {
		t.Errorf("the file has %q (%v), want z", body, err)
	}
}

func TestOpenS3(t *testing.T) {
	server := fakes3.New(t)
	server.Setenv(t)
	limiter := budget.NewLimiter(nil)
	opts := &storeurl.Options{Limiter: limiter}
	if _, err := storeurl.Open(t.Context(), server.URL("bucket", "pre/fix"), opts); err != nil {
		t.Fatal(err)
	}
	if n := len(server.Requests()); n != 0 {
		t.Errorf("opening has sent %d requests, want none", n)
	}
	s, err := storeurl.Open(t.Context(), server.URL("bucket", "pre/fix")+"&create_bucket=1", opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "key", []byte("x"), store.Condition{}); err != nil {
		t.Fatal(err)
	}
	if got := s.String(); !strings.Contains(got, "s3://bucket/pre/fix/?") {
		t.Errorf("it is called %s", got)
	}
	requests := server.Requests()
	if got, want := requests[len(requests)-1].Path, "/bucket/pre/fix/key"; got != want {
		t.Errorf("the object is at %s, want %s", got, want)
	}
	if got := limiter.Stats().Total(); got != int64(len(requests)) {
		t.Errorf("%d requests are counted, want %d", got, len(requests))
	}
}

func TestOpenErrors(t *testing.T) {
	if _, err := storeurl.Open(t.Context(), "nonsense", nil); !errors.Is(err, storeurl.ErrBadURL) {
		t.Errorf("got error %v, want %v", err, storeurl.ErrBadURL)
	}
	server := fakes3.New(t)
	fakes3.Setenv(t, "wrong", "credentials")
	if _, err := storeurl.Open(t.Context(), server.URL("bucket", "")+"&create_bucket=1", nil); !errors.Is(err, store.ErrAccess) {
		t.Errorf("got error %v, want %v", err, store.ErrAccess)
	}
}

func FuzzParse(f *testing.F) {
	for _, raw := range []string{
		"file:///a/b", "file:///a%20b", "s3://bucket/p/q?region=r&endpoint=http://h:1&path_style=0&checksum=when_supported",
		"s3://bucket//x//", "s3://b?create_bucket=1", "s3://b/%3F?region=%26", "",
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := storeurl.Parse(raw)
		if err != nil {
			if !errors.Is(err, storeurl.ErrBadURL) {
				t.Fatalf("%q: got error %v, want %v", raw, err, storeurl.ErrBadURL)
			}
			return
		}
		again, err := storeurl.Parse(u.String())
		if err != nil {
			t.Fatalf("%q becomes %q: %v", raw, u, err)
		}
		if d := cmp.Diff(u, again); d != "" {
			t.Fatalf("%q becomes %q (- want, + got):\n%s", raw, u, d)
		}
	})
}
