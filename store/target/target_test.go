package target_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/conformance/storetest/fakes3"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/budget"
	"github.com/boule-db/boule/store/retry"
	"github.com/boule-db/boule/store/target"
)

func TestJSON(t *testing.T) {
	no := false
	for text, want := range map[string]target.Target{
		`{"s3": {"region": "us-east-1", "endpoint": null, "chunk_bucket": "c", "manifest_bucket": "m", "domain_addressing": true, "create_buckets_on_demand": true}}`: {
			S3: &target.S3{Region: "us-east-1", ChunkBucket: "c", ManifestBucket: "m", DomainAddressing: true, CreateBucketsOnDemand: true},
		},
		`{"s3": {"region": "minio", "endpoint": "http://127.0.0.1:9000", "bucket": "b", "prefix": "p/q", "domain_addressing": false}}`: {
			S3: &target.S3{Region: "minio", Endpoint: "http://127.0.0.1:9000", Bucket: "b", Prefix: "p/q"},
		},
		`{"file": {"directory": "/var/replicas"}}`: {File: &target.File{Directory: "/var/replicas"}},
		`{"local": {"directory": "/cache", "num_shards": 10, "capacity": 1000}}`: {
			Local: &target.Local{Directory: "/cache", NumShards: 10, Capacity: 1000},
		},
		`{"read_only": {"directory": "/cache", "append_instance_id": false}}`: {
			ReadOnly: &target.ReadOnly{Directory: "/cache", AppendInstanceID: &no},
		},
		`{"file": {"directory": "/x"}, "s3": null}`:      {File: &target.File{Directory: "/x"}},
		`{"file": {"directory": "/x"}, "layout": "log"}`: {File: &target.File{Directory: "/x"}, Layout: target.LayoutLog},
	} {
		var got target.Target
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (- want, + got):\n%s", text, d)
		}
		b, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var again target.Target
		if err := json.Unmarshal(b, &again); err != nil || again.ID() != got.ID() {
			t.Errorf("%s becomes %s: %v", text, b, err)
		}
	}
}

func TestInvalid(t *testing.T) {
	for text, want := range map[string][]string{
		`{}`:       {`exactly one of the keys "s3", "file", "local", "read_only", and has 0`},
		`[]`:       {"is not a JSON object"},
		`"s3://b"`: {"is not a JSON object"},
		`{"file": {"directory": "/x"}, "s3": {"bucket": "b"}}`:            {"has 2 of them"},
		`{"S3": {"bucket": "b"}}`:                                         {`unknown key "S3"; there are file, layout, local, read_only, s3`},
		`{"ftp": {}}`:                                                     {`unknown key "ftp"`},
		`{"s3": {"bucket": "b", "access_key": "x"}}`:                      {`unknown key "s3.access_key"; there are bucket, checksum,`},
		`{"s3": {"bucket": 1}}`:                                           {"number"},
		`{"s3": {"region": "us-east-1"}}`:                                 {`the bucket is missing; write "bucket", or "chunk_bucket" and "manifest_bucket"`},
		`{"s3": {"chunk_bucket": "c"}}`:                                   {`"manifest_bucket" is missing`},
		`{"s3": {"manifest_bucket": "c"}}`:                                {`"chunk_bucket" is missing`},
		`{"s3": {"bucket": "b", "chunk_bucket": "c", "endpoint": "x y"}}`: {`write either "bucket" or`, "the endpoint is no URL"}, // all that is wrong
		`{"s3": {"bucket": "b", "checksum": "md5"}}`:                      {"write when_required or when_supported"},
		`{"file": {"directory": "replicas"}}`:                             {`the directory "replicas" is relative; write an absolute path`},
		`{"file": {}}`:                                                    {`"directory" is missing`},
		`{"local": {"directory": "/x", "num_shards": 1}}`:                 {`"capacity" is missing`},
		`{"file": {"directory": "/x"}, "layout": "packs"}`:                {`unknown layout "packs"; there are chunks and log`},
		`{"read_only": {"directory": "/x"}, "layout": "log"}`:             {"a cache has no layout"},
	} {
		var got target.Target
		err := json.Unmarshal([]byte(text), &got)
		if !errors.Is(err, target.ErrInvalid) {
			t.Errorf("%s: got error %v, want %v", text, err, target.ErrInvalid)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: got error %v, want %q", text, err, w)
			}
		}
	}
}

func TestFromURL(t *testing.T) {
	for raw, want := range map[string]target.Target{
		"file:///var/replicas": {File: &target.File{Directory: "/var/replicas"}},
		"s3://bucket/prefix?region=eu-central-1": {
			S3: &target.S3{Bucket: "bucket", Prefix: "prefix", Region: "eu-central-1", DomainAddressing: true},
		},
		"s3://bucket?endpoint=http://127.0.0.1:9000&create_bucket=1": {
			S3: &target.S3{Bucket: "bucket", Endpoint: "http://127.0.0.1:9000", CreateBucketsOnDemand: true},
		},
		"file:///var/replicas?layout=log": {File: &target.File{Directory: "/var/replicas"}, Layout: target.LayoutLog},
		"s3://bucket?layout=chunks&region=eu-central-1": {
			S3: &target.S3{Bucket: "bucket", Region: "eu-central-1", DomainAddressing: true}, Layout: target.LayoutChunks,
		},
	} {
		got, err := target.FromURL(raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (- want, + got):\n%s", raw, d)
		}
		if err := got.Validate(); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		again, err := target.FromURL(got.String())
		if err != nil || again.ID() != got.ID() {
			t.Errorf("%s is called %s, which is another target (%v)", raw, got, err)
		}
	}
	for _, raw := range []string{"bucket/prefix", "file:///x?layout=packs", "file:///x?layout=log&layout=log", "file:///x?other=log"} {
		if got, err := target.FromURL(raw); err == nil {
			t.Errorf("%s is taken for %v", raw, got)
		}
	}
}

func TestID(t *testing.T) {
	seen := make(map[string]target.Target)
	for _, tt := range []target.Target{
		{File: &target.File{Directory: "/a"}},
		{File: &target.File{Directory: "/b"}},
		{Local: &target.Local{Directory: "/a"}},
		{S3: &target.S3{Bucket: "a"}},
		{S3: &target.S3{Bucket: "a", Prefix: "p"}},
		{S3: &target.S3{Bucket: "a", Region: "p"}},
	} {
		id := tt.ID()
		if !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(id) {
			t.Errorf("%v has the ID %q, want 16 hex digits", tt, id)
		}
		if other, ok := seen[id]; ok {
			t.Errorf("%v and %v have the same ID", tt, other)
		}
		seen[id] = tt
	}
	// It names directories: it must not change from version to version.
	if got, want := (target.Target{File: &target.File{Directory: "/a"}}).ID(), "63348b7486956a14"; got != want {
		t.Errorf("the ID of /a is %s, want %s", got, want)
	}
	if got, want := (target.Target{File: &target.File{Directory: "/a"}, Layout: target.LayoutLog}).ID(), "63348b7486956a14"; got != want {
		t.Errorf("the ID of /a in the layout that is the default is %s, want %s", got, want)
	}
}

func fill(t *testing.T, s *target.Stores) {
	t.Helper()
	if _, err := s.Chunks.Put(t.Context(), "00%2F11", []byte("chunk"), store.Condition{}); err != nil {
		t.Error(err)
	}
	if _, err := s.Manifests.Put(t.Context(), "name", []byte("manifest"), store.Condition{}); err != nil {
		t.Error(err)
	}
}

func TestOpenFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "replicas")
	s, err := target.Open(t.Context(), target.Target{File: &target.File{Directory: dir}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("opening has created the directory (%v)", err)
	}
	fill(t, s)
	for name, want := range map[string]string{"chunks/00%2F11": "chunk", "manifests/name": "manifest"} {
		if got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name))); err != nil || string(got) != want {
			t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
}

func TestOpenS3(t *testing.T) {
	for name, tc := range map[string]struct {
		spec target.S3
		want []string
	}{
		"one bucket":          {target.S3{Bucket: "one"}, []string{"/one/chunks/00%252F11", "/one/manifests/name"}},
		"one with a prefix":   {target.S3{Bucket: "one", Prefix: "/p/q/"}, []string{"/one/p/q/chunks/00%252F11", "/one/p/q/manifests/name"}},
		"two buckets":         {target.S3{ChunkBucket: "ccc", ManifestBucket: "mmm"}, []string{"/ccc/00%252F11", "/mmm/name"}},
		"two with a prefix":   {target.S3{ChunkBucket: "ccc", ManifestBucket: "mmm", Prefix: "p"}, []string{"/ccc/p/00%252F11", "/mmm/p/name"}},
		"one bucket for both": {target.S3{ChunkBucket: "ccc", ManifestBucket: "ccc"}, []string{"/ccc/00%252F11", "/ccc/name"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := fakes3.New(t)
			server.Setenv(t)
			limiter := budget.NewLimiter(nil)
			opts := &target.OpenOptions{Limiter: limiter, Retry: &retry.Options{Waits: []time.Duration{time.Millisecond}}}
			spec := tc.spec
			spec.Endpoint = server.Endpoint
			_, err := target.Open(t.Context(), target.Target{S3: &spec}, opts)
			if !errors.Is(err, store.ErrNoBucket) {
				t.Errorf("without the bucket: got error %v, want %v", err, store.ErrNoBucket)
			}
			reader := *opts
			reader.ReadOnly = true
			before := len(server.Requests())
			r, err := target.Open(t.Context(), target.Target{S3: &spec}, &reader)
			if err != nil || len(server.Requests()) != before {
				t.Errorf("for reading: %v, %d requests", err, len(server.Requests())-before)
			}
			for _, s := range []store.Store{r.Chunks, r.Manifests} {
				if _, err := s.Get(t.Context(), "x", nil); !errors.Is(err, store.ErrNoBucket) {
					t.Errorf("for reading, without the bucket: got error %v, want %v", err, store.ErrNoBucket)
				}
			}
			spec.CreateBucketsOnDemand = true
			s, err := target.Open(t.Context(), target.Target{S3: &spec}, opts)
			if err != nil {
				t.Fatal(err)
			}
			fill(t, s)
			requests := server.Requests()
			var got []string
			for _, r := range requests[len(requests)-2:] {
				got = append(got, r.Path)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("objects (- want, + got):\n%s", d)
			}
			if n := limiter.Stats().Total(); n != int64(len(requests)) {
				t.Errorf("%d requests are counted, want %d", n, len(requests))
			}
			// The stack retries.
			first := true
			server.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if first {
					first = false
					fakes3.Drop()
				}
				next.ServeHTTP(w, r)
			})
			fill(t, s)
		})
	}
}

func TestOpenErrors(t *testing.T) {
	for _, tt := range []target.Target{{}, {File: &target.File{Directory: "x"}}} {
		if _, err := target.Open(t.Context(), tt, nil); !errors.Is(err, target.ErrInvalid) {
			t.Errorf("%v: got error %v, want %v", tt, err, target.ErrInvalid)
		}
	}
	for _, tt := range []target.Target{
		{Local: &target.Local{Directory: "/x", Capacity: 1}}, {ReadOnly: &target.ReadOnly{Directory: "/x"}},
	} {
		if _, err := target.Open(t.Context(), tt, nil); err == nil || !strings.Contains(err.Error(), "a cache is for reading only") {
			t.Errorf("%v: got error %v, want one that says what a cache is for", tt, err)
		}
	}
	server := fakes3.New(t)
	server.CreateBucket(t, "bucket")
	fakes3.Setenv(t, fakes3.AccessKey, "wrong")
	_, err := target.Open(t.Context(), target.Target{S3: &target.S3{Bucket: "bucket", Endpoint: server.Endpoint}}, nil)
	if !errors.Is(err, store.ErrAccess) || strings.Contains(err.Error(), "wrong") || !strings.Contains(err.Error(), "s3://bucket") {
		t.Errorf("got error %v, want %v that names the target", err, store.ErrAccess)
	}
}
