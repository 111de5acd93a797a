package storetest_test

import (
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/boule-db/boule/conformance/storetest"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/budget"
	"github.com/boule-db/boule/store/retry"
	"github.com/boule-db/boule/store/s3"
)

// What is wrong with more than one key, or server.
const (
	asFile  = "keeps objects as files, so a and a/b can't both exist"
	cleaned = "cleans keys as if they were paths"
)

// servers are the real services that the suite is run against, when their
// variable has their URL. Credentials are test and testsecret. See
// .ci/servers/run-store-suite.sh.
var servers = []struct {
	name, variable string
	deviations     map[string]string
	races          map[string]string
}{
	{"versitygw", "BOULE_TEST_S3_VERSITYGW", map[string]string{
		"Key/object-and-prefix":  asFile,
		"Key/prefix-and-object":  asFile,
		"Key/object-and-slashes": asFile,
		"Key/long-neighbours":    asFile,
		"Key/double-slash":       cleaned,
		"Key/leading-slash":      cleaned,
		"Key/dot":                cleaned,
		"Key/dot-dot":            cleaned,
		"Key/dot-dot-names":      cleaned,
		"Key/trailing-slash":     "refuses a body under a key that ends in a slash",
		"Key/slashes":            "refuses a body under a key that ends in a slash",
		"Key/segment-300":        "refuses segments of more than 255 bytes",
		"Key/longest-segment":    "refuses segments of more than 255 bytes",
		"Key/control":            "lists control characters as U+FFFD",
	}, nil},
	{"ceph-rgw", "BOULE_TEST_S3_CEPH_RGW", nil, map[string]string{
		"RaceIfMatchAgainstPut": "a conditional put that matched may take effect after a plain put that came between",
	}},
}

func TestServers(t *testing.T) {
	for _, server := range servers {
		endpoint := os.Getenv(server.variable)
		if endpoint == "" {
			continue
		}
		t.Run(server.name, func(t *testing.T) {
			bucket := "boule-" + strings.ToLower(rand.Text()[:12])
			c := s3.Config{
				Bucket: bucket, Region: "us-east-1", Endpoint: endpoint, PathStyle: true,
				AccessKey: "test", SecretKey: "testsecret",
			}
			raw := openS3(t, c)
			if err := raw.Prepare(t.Context(), false); !errors.Is(err, store.ErrNoBucket) {
				t.Fatalf("missing bucket: got error %v, want %v", err, store.ErrNoBucket)
			}
			t.Run("no bucket", func(t *testing.T) { noBucket(t, retry.New(openS3(t, c), fast)) })
			for range 2 { // once to create, once to find
				if err := raw.Prepare(t.Context(), true); err != nil {
					t.Fatal(err)
				}
			}
			s := retry.New(budget.New(raw, budget.NewLimiter(&budget.Options{Rate: -1})), fast)
			storetest.Run(t, func(testing.TB) store.Store { return s }, storetest.Expect{
				Deviations: server.deviations,
				Races:      server.races,
				Denied:     deniedS3(c),
			})
		})
	}
}

// noBucket checks that a missing bucket is told from a missing object.
func noBucket(t *testing.T, s store.Store) {
	t.Helper()
	ctx := t.Context()
	_, err := s.Put(ctx, "key", []byte("x"), store.Condition{})
	wantNoBucket(t, "put", err)
	_, err = s.Put(ctx, "key", []byte("x"), store.Condition{IfAbsent: true})
	wantNoBucket(t, "conditional put", err)
	_, _, err = store.ReadAll(ctx, s, "key", 100)
	wantNoBucket(t, "get", err)
	_, err = s.Head(ctx, "key")
	wantNoBucket(t, "head", err)
	_, err = s.Touch(ctx, "key")
	wantNoBucket(t, "touch", err)
	wantNoBucket(t, "delete", s.Delete(ctx, "key"))
	for _, err := range s.List(ctx, "") {
		wantNoBucket(t, "list", err)
	}
}

func wantNoBucket(t *testing.T, verb string, err error) {
	t.Helper()
	if !errors.Is(err, store.ErrNoBucket) || !store.IsPermanent(err) {
		t.Errorf("%s in a missing bucket: got error %v, want a permanent %v", verb, err, store.ErrNoBucket)
	}
}
