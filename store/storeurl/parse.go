package storeurl

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/s3"
)

// ErrBadURL is wrapped by every error about what a URL says.
var ErrBadURL = errors.New("bad store URL")

// A URL is a store URL, taken apart. Either Dir or Bucket is set.
type URL struct {
	Dir string // of a file store; absolute

	Bucket       string
	Prefix       string // without a slash at either end
	Region       string
	Endpoint     string
	PathStyle    bool
	CreateBucket bool
	Checksum     string
}

var (
	userinfo     = regexp.MustCompile(`//[^/?#]*@`)
	bucketName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	s3Parameters = []string{"checksum", "create_bucket", "endpoint", "path_style", "region"}
)

// readable takes back escapes that a query does not need.
var readable = strings.NewReplacer("%3A", ":", "%2F", "/")

// redact returns a URL fit for an error message.
func redact(raw string) string { return userinfo.ReplaceAllString(raw, "//***@") }

func bad(raw, format string, args ...any) error {
	return fmt.Errorf("%w %q: %w", ErrBadURL, redact(raw), fmt.Errorf(format, args...))
}

// Parse takes a store URL apart.
func Parse(raw string) (URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		var ue *url.Error // its message has the URL in it, with all secrets
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return URL{}, bad(raw, "%w", err)
	}
	switch {
	case u.User != nil:
		return URL{}, bad(raw, "credentials do not belong in it; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead")
	case u.Fragment != "":
		return URL{}, bad(raw, "it has a fragment %q; write %%23 for a # in a name", u.Fragment)
	}
	switch u.Scheme {
	case "file":
		return parseFile(raw, u)
	case "s3":
		return parseS3(raw, u)
	case "":
		return URL{}, bad(raw, "it has no scheme; write file:///absolute/directory or s3://bucket/prefix")
	}
	return URL{}, bad(raw, "unknown scheme %q; write file:///absolute/directory or s3://bucket/prefix", u.Scheme)
}

func parseFile(raw string, u *url.URL) (URL, error) {
	switch {
	case u.Opaque != "" || u.Path == "" || u.Host != "" && u.Host != "localhost":
		return URL{}, bad(raw, "the directory must be absolute; write file:///absolute/directory, with three slashes")
	case u.RawQuery != "" || u.ForceQuery:
		return URL{}, bad(raw, "file URLs have no parameters; write %%3F for a ? in a name")
	case strings.ContainsRune(u.Path, 0):
		return URL{}, bad(raw, "the directory has a NUL in its name")
	}
	dir := u.Path
	if runtime.GOOS == "windows" {
		dir = strings.TrimPrefix(dir, "/")
	}
	dir = filepath.Clean(filepath.FromSlash(dir))
	if !filepath.IsAbs(dir) {
		return URL{}, bad(raw, "the directory must be absolute; write file:///absolute/directory, with three slashes")
	}
	return URL{Dir: dir}, nil
}

func parseS3(raw string, u *url.URL) (URL, error) {
	if u.Opaque != "" || u.Host == "" {
		return URL{}, bad(raw, "the bucket is missing; write s3://bucket/prefix")
	}
	if !bucketName.MatchString(u.Host) {
		return URL{}, bad(raw, "%q is no bucket name; write s3://bucket/prefix and give the service as ?endpoint=https://host:port", u.Host)
	}
	out := URL{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	if err := store.CheckPrefix(out.Prefix); err != nil {
		return URL{}, bad(raw, "%w", err)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return URL{}, bad(raw, "%w", err)
	}
	for _, name := range sortedKeys(q) {
		if !slices.Contains(s3Parameters, name) {
			return URL{}, bad(raw, "unknown parameter %q; there are %s", name, strings.Join(s3Parameters, ", "))
		}
		if len(q[name]) > 1 {
			return URL{}, bad(raw, "parameter %q is given %d times", name, len(q[name]))
		}
	}
	out.Region, out.Endpoint, out.Checksum = q.Get("region"), q.Get("endpoint"), q.Get("checksum")
	if _, err := s3.ParseEndpoint(out.Endpoint); err != nil {
		return URL{}, bad(raw, "%w", err)
	}
	if _, err := s3.ParseChecksum(out.Checksum); err != nil {
		return URL{}, bad(raw, "%w", err)
	}
	if out.PathStyle, err = boolean(q, "path_style", out.Endpoint != ""); err != nil {
		return URL{}, bad(raw, "%w", err)
	}
	if out.CreateBucket, err = boolean(q, "create_bucket", false); err != nil {
		return URL{}, bad(raw, "%w", err)
	}
	return out, nil
}

func boolean(q url.Values, name string, unset bool) (bool, error) {
	switch v := q.Get(name); v {
	case "":
		return unset, nil
	case "1", "true":
		return true, nil
	case "0", "false":
		return false, nil
	default:
		return false, fmt.Errorf("parameter %s is %q; write 1 or 0", name, v)
	}
}

func sortedKeys(q url.Values) []string {
	keys := make([]string, 0, len(q))
	for k := range q {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// String returns the URL that Parse takes apart into u.
func (u URL) String() string {
	if u.Dir != "" {
		p := filepath.ToSlash(u.Dir)
		if !strings.HasPrefix(p, "/") {
			p = "/" + p
		}
		return (&url.URL{Scheme: "file", Path: p}).String()
	}
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("region", u.Region)
	set("endpoint", u.Endpoint)
	set("checksum", u.Checksum)
	switch {
	case u.PathStyle && u.Endpoint == "":
		set("path_style", "1")
	case !u.PathStyle && u.Endpoint != "":
		set("path_style", "0")
	}
	if u.CreateBucket {
		set("create_bucket", "1")
	}
	out := &url.URL{Scheme: "s3", Host: u.Bucket, RawQuery: readable.Replace(q.Encode())}
	if u.Prefix != "" {
		out.Path = "/" + u.Prefix
	}
	return out.String()
}
