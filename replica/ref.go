package replica

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/boule-db/boule/manifest"
)

// A RefKind says where a [Ref] leads.
type RefKind int

// The kinds of references.
const (
	RefDatabase RefKind = iota + 1 // boule://HOST/PATH: a database, by host and path
	RefHTTP                        // http://… or https://…: a manifest, by URL
	RefS3                          // s3://BUCKET/KEY?…: a manifest in a bucket
	RefFile                        // file:///PATH, or a path: a manifest in a file
)

// A Ref is a reference to a manifest, and so to a snapshot. Make one with [ParseRef].
type Ref struct {
	Kind RefKind

	Host string // RefDatabase; empty means this machine
	Path string // RefDatabase, RefFile

	URL string // RefHTTP: the whole URL

	Bucket    string // RefS3, like the rest
	Key       string
	Region    string
	Endpoint  string
	PathStyle string // whether the bucket is part of the path: "1", "0", or "" for the default
}

// refForms is for error messages.
const refForms = "write boule://HOST/path, https://…, s3://bucket/key, file:///path or a path"

func badRef(s, format string, args ...any) error {
	return fmt.Errorf("%w %q: %w; %s", ErrBadRef, redact(s), fmt.Errorf(format, args...), refForms)
}

// redact takes credentials out of what looks like a URL.
func redact(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	authority, _, _ := strings.Cut(rest, "/")
	i := strings.LastIndexByte(authority, '@')
	if i < 0 {
		return s
	}
	return scheme + "://***" + rest[i:]
}

// ParseRef parses a reference to a manifest, in one of these forms:
//
//	boule://HOST/abs/path.db    the database at /abs/path.db on HOST; an empty
//	                            HOST means this machine
//	http(s)://…                 a manifest on a web server
//	s3://bucket/key?region=R&endpoint=URL&path_style=1
//	                            a manifest in a bucket; parameters are optional
//	file:///abs/manifest        a manifest in a file
//	anything without "://"      a manifest in a file
//
// The path of boule:// and the key of s3:// are taken as they stand: names of
// manifests are full of percent signs, which must not be decoded. In file:// and
// http:// they are decoded as in every URL. It fails with [ErrBadRef].
func ParseRef(s string) (Ref, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	switch {
	case s == "":
		return Ref{}, badRef(s, "it is empty")
	case strings.ContainsRune(s, 0):
		return Ref{}, badRef(s, "it has a NUL in it")
	case !ok:
		return Ref{Kind: RefFile, Path: s}, nil
	}
	switch strings.ToLower(scheme) {
	case "boule":
		host, path, _ := strings.Cut(rest, "/")
		if path == "" {
			return Ref{}, badRef(s, "the path is missing")
		}
		return Ref{Kind: RefDatabase, Host: host, Path: "/" + path}, nil
	case "http", "https":
		return parseHTTP(s)
	case "s3":
		return parseS3(s, rest)
	case "file":
		return parseFile(s)
	}
	return Ref{}, badRef(s, "unknown scheme %q", scheme)
}

// parseURL is url.Parse whose errors do not repeat the URL with its secrets.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		var e *url.Error
		if errors.As(err, &e) {
			err = e.Err
		}
		return nil, badRef(s, "%w", err)
	}
	return u, nil
}

func parseHTTP(s string) (Ref, error) {
	u, err := parseURL(s)
	if err != nil {
		return Ref{}, err
	}
	if u.Hostname() == "" {
		return Ref{}, badRef(s, "the host is missing")
	}
	return Ref{Kind: RefHTTP, URL: u.String()}, nil
}

func parseFile(s string) (Ref, error) {
	u, err := parseURL(s)
	if err != nil {
		return Ref{}, err
	}
	switch {
	case u.Host != "" && u.Host != "localhost" || u.User != nil:
		return Ref{}, badRef(s, "the path must be absolute, with three slashes")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return Ref{}, badRef(s, "a file has no parameters; a ? in its name is written %%3F, a # %%23")
	case u.Path == "" || u.Path == "/" || strings.ContainsRune(u.Path, 0):
		return Ref{}, badRef(s, "the path is missing")
	}
	path := u.Path
	if runtime.GOOS == "windows" {
		path = strings.TrimPrefix(path, "/")
	}
	return Ref{Kind: RefFile, Path: filepath.FromSlash(path)}, nil
}

func parseS3(s, rest string) (Ref, error) {
	rest, query, _ := strings.Cut(rest, "?")
	r := Ref{Kind: RefS3}
	r.Bucket, r.Key, _ = strings.Cut(rest, "/")
	switch {
	case strings.ContainsAny(r.Bucket, "@:"):
		return Ref{}, badRef(s, "what should be a bucket has a @ or a : in it; the service is given as ?endpoint=URL, credentials by the environment")
	case r.Bucket == "" || r.Key == "":
		return Ref{}, badRef(s, "bucket or key is missing")
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return Ref{}, badRef(s, "%w", err)
	}
	for name, values := range q {
		if len(values) != 1 {
			return Ref{}, badRef(s, "parameter %q is given %d times", name, len(values))
		}
		switch v := values[0]; name {
		case "region":
			r.Region = v
		case "endpoint":
			r.Endpoint = v
		case "path_style":
			on, err := strconv.ParseBool(v)
			if err != nil {
				return Ref{}, badRef(s, "path_style is 0 or 1, not %q", v)
			}
			r.PathStyle = map[bool]string{true: "1", false: "0"}[on]
		default:
			return Ref{}, badRef(s, "unknown parameter %q", name)
		}
	}
	return r, nil
}

// String returns the reference in a form that [ParseRef] takes.
func (r Ref) String() string {
	switch r.Kind {
	case RefDatabase:
		return "boule://" + r.Host + r.Path
	case RefHTTP:
		return r.URL
	case RefS3:
		return "s3://" + r.Bucket + "/" + r.Key + r.parameters()
	case RefFile:
		if strings.Contains(r.Path, "://") && filepath.IsAbs(r.Path) {
			return (&url.URL{Scheme: "file", Path: filepath.ToSlash(r.Path)}).String()
		}
		return r.Path
	}
	return ""
}

// StoreURL returns the URL of the bucket of a RefS3, without the key.
func (r Ref) StoreURL() string {
	if r.Kind != RefS3 {
		return ""
	}
	return "s3://" + r.Bucket + r.parameters()
}

func (r Ref) parameters() string {
	q := url.Values{}
	if r.Region != "" {
		q.Set("region", r.Region)
	}
	if r.Endpoint != "" {
		q.Set("endpoint", r.Endpoint)
	}
	if r.PathStyle != "" {
		q.Set("path_style", r.PathStyle)
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// ManifestName returns the name of a RefDatabase's manifest in a store; hostname
// is that of this machine, for references that name none.
func (r Ref) ManifestName(hostname string) string {
	if r.Kind != RefDatabase {
		return ""
	}
	if r.Host != "" {
		hostname = r.Host
	}
	return manifest.Name(hostname, r.Path)
}

// An Opener gets what a RefHTTP or a RefS3 leads to: at most manifest.MaxManifest
// bytes, compressed or not. It is how the program that links network clients lends
// them to this package. That there is nothing is an error that
// store.IsNotExist recognizes.
type Opener func(ctx context.Context, ref Ref) ([]byte, error)

// FetchOptions are what [FetchRef] needs besides the reference.
type FetchOptions struct {
	Hostname string   // of this machine, for boule:///path
	Sources  []Source // for boule://
	Open     Opener   // for http:// and s3://
	Last     *Remote  // what the caller has already, as for Poll
}

// FetchRef gets the manifest that a reference leads to. It fails with [ErrNotFound]
// if there is none. For other kinds than RefDatabase, the Source of the result is
// empty: chunks have to come from the caller's own sources.
func FetchRef(ctx context.Context, ref Ref, opts *FetchOptions) (*Remote, error) {
	var o FetchOptions
	if opts != nil {
		o = *opts
	}
	if ref.Kind == RefDatabase {
		return Poll(ctx, o.Sources, ref.ManifestName(o.Hostname), o.Last)
	}
	body, err := ReadRef(ctx, ref, o.Open)
	if err != nil {
		return nil, err
	}
	var r Remote
	if r.Manifest, r.Encoded, err = Parse(body); err != nil {
		return nil, fmt.Errorf("fetch manifest %s: %w", redact(ref.String()), err)
	}
	return &r, nil
}

// ReadRef gets what a reference of another kind than RefDatabase leads to, whatever that is. It fails with [ErrNotFound] if there
// is nothing.
func ReadRef(ctx context.Context, ref Ref, open Opener) ([]byte, error) {
	body, err := ref.read(ctx, open)
	switch {
	case err == nil:
		return body, nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case isNotExist(err):
		return nil, fmt.Errorf("%w: %s: %w", ErrNotFound, redact(ref.String()), err)
	}
	return nil, fmt.Errorf("fetch manifest %s: %w", redact(ref.String()), err)
}

func (r Ref) read(ctx context.Context, open Opener) ([]byte, error) {
	if r.Kind == RefFile {
		f, err := os.Open(r.Path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readLimited(f, manifest.MaxManifest)
	}
	if open == nil {
		return nil, ErrNoSource
	}
	return open(ctx, r)
}
