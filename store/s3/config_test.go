package s3_test

import (
	"context"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boule-db/boule/conformance/storetest/fakes3"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/s3"
)

func TestTLS(t *testing.T) {
	server, certificate := fakes3.NewTLS(t)
	server.CreateBucket(t, "bucket")
	if _, err := open(t, server.Config("bucket")).Head(t.Context(), "key"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got error %v, want one about the certificate", err)
	}
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate()}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	s := open(t, server.Config("bucket"))
	put(t, s, "key", "x")
	wantBody(t, s, "key", "x")
	if _, err := s.Touch(t.Context(), "key"); err != nil {
		t.Error(err)
	}
	first := server.Requests()
	for _, r := range first[len(first)-4:] {
		if r.Conn != first[len(first)-1].Conn {
			t.Error("requests in turn come over several connections")
		}
	}
}

func TestVirtualHost(t *testing.T) {
	server, _ := fake(t)
	hosts := make(chan string, 1)
	server.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		hosts <- r.Host + r.URL.Path
		w.WriteHeader(http.StatusNoContent)
	})
	c := server.Config("bucket")
	c.Endpoint, c.PathStyle = "http://s3.example.test:9000", false
	s := open(t, s3.WithDial(c, func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr != "bucket.s3.example.test:9000" {
			t.Errorf("dials %s", addr)
		}
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(server.Endpoint, "http://"))
	}))
	if err := s.Delete(t.Context(), "key"); err != nil {
		t.Fatal(err)
	}
	if got, want := <-hosts, "bucket.s3.example.test:9000/key"; got != want {
		t.Errorf("asks for %s, want %s", got, want)
	}
}

func TestDefaultCredentials(t *testing.T) {
	server, _ := fake(t)
	c := server.Config("bucket")
	c.AccessKey, c.SecretKey = "", ""
	server.Setenv(t)
	put(t, open(t, c), "key", "x")

	fakes3.Setenv(t, "", "")
	_, err := open(t, c).Put(t.Context(), "key", nil, store.Condition{IfAbsent: true})
	if !errors.Is(err, store.ErrAccess) || !store.IsPermanent(err) || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("without credentials: got error %v, want %v and what to set", err, store.ErrAccess)
	}

	profile := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(profile, []byte("[default]\naws_access_key_id = fake\naws_secret_access_key = fakesecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", profile)
	wantBody(t, open(t, c), "key", "x")
}

func TestRegionAndEndpointOfTheEnvironment(t *testing.T) {
	server, _ := fake(t)
	server.Setenv(t)
	t.Setenv("AWS_ENDPOINT_URL_S3", server.Endpoint)
	s := open(t, s3.Config{Bucket: "bucket", PathStyle: true})
	put(t, s, "key", "x")
	if got, want := s.String(), "s3://bucket?endpoint="+server.Endpoint; got != want {
		t.Errorf("it is called %s, want %s", got, want)
	}
	t.Setenv("AWS_ENDPOINT_URL_S3", "")
	if got := open(t, s3.Config{Bucket: "bucket"}).String(); got != "s3://bucket" {
		t.Errorf("on AWS it is called %s, want s3://bucket", got)
	}
}

func TestOpenErrors(t *testing.T) {
	for name, c := range map[string]s3.Config{
		"the bucket's name is missing":            {},
		"write http://host:port":                  {Bucket: "b", Endpoint: "ftp://host"},
		"credentials do not belong in the endpoi": {Bucket: "b", Endpoint: "http://me:secret@host"},
	} {
		_, err := s3.Open(t.Context(), c)
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("got error %v, want %q", err, name)
		}
	}
}

func TestResolve(t *testing.T) {
	for _, tc := range []struct{ region, endpoint, wantRegion, wantEndpoint string }{
		{"", "", "", ""},
		{"eu-central-1", "", "eu-central-1", ""},
		{"us-gov-west-1", "", "us-gov-west-1", ""},
		{"anything", "http://127.0.0.1:9000", "anything", "http://127.0.0.1:9000"},
		{"nyc3", "", "nyc3", "https://nyc3.digitaloceanspaces.com"},
		{"yandex", "", "ru-central1", "https://storage.yandexcloud.net"},
		{"ru-central1", "", "ru-central1", "https://storage.yandexcloud.net"},
		{"wa-us-east-1", "", "us-east-1", "https://s3.us-east-1.wasabisys.com"},
		{"here.minio.example:9000", "", "here", "https://minio.example:9000"},
		{"minio", "", "minio", "https://minio"},
	} {
		region, endpoint := s3.Resolve(tc.region, tc.endpoint)
		if region != tc.wantRegion || endpoint != tc.wantEndpoint {
			t.Errorf("Resolve(%q, %q) = %q, %q, want %q, %q", tc.region, tc.endpoint, region, endpoint, tc.wantRegion, tc.wantEndpoint)
		}
	}
}
