package target

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/s3"
	"github.com/boule-db/boule/store/storeurl"
)

// ErrInvalid is wrapped by every error about what a specification says.
var ErrInvalid = errors.New("bad replication target")

// A Target is a place to replicate to, or a cache to read from. Exactly one of S3, File,
// Local and ReadOnly is set.
type Target struct {
	S3       *S3       `json:"s3,omitempty"`
	File     *File     `json:"file,omitempty"`
	Local    *Local    `json:"local,omitempty"`
	ReadOnly *ReadOnly `json:"read_only,omitempty"`

	// Layout is how replicas lie in an S3 or a File target; empty means DefaultLayout.
	Layout Layout `json:"layout,omitempty"`
}

// A Layout is how replicas lie in a target.
type Layout string

// The layouts.
const (
	LayoutChunks Layout = "chunks" // an object for each chunk and one for each manifest
	LayoutLog    Layout = "log"    // an append-only log of entries, with packs beside it

	DefaultLayout = LayoutLog
)

// LayoutOrDefault is Layout, or DefaultLayout if that is empty.
func (t Target) LayoutOrDefault() Layout {
	if t.Layout == "" {
		return DefaultLayout
	}
	return t.Layout
}

// S3 is a target in an S3-compatible service.
type S3 struct {
	Region                string `json:"region,omitempty"`   // empty: from the environment; see s3.Resolve
	Endpoint              string `json:"endpoint,omitempty"` // empty: what the region says
	Bucket                string `json:"bucket,omitempty"`   // one for all, instead of the two below
	ChunkBucket           string `json:"chunk_bucket,omitempty"`
	ManifestBucket        string `json:"manifest_bucket,omitempty"`
	Prefix                string `json:"prefix,omitempty"`
	DomainAddressing      bool   `json:"domain_addressing"` // the bucket is in the host name, not in the path
	CreateBucketsOnDemand bool   `json:"create_buckets_on_demand,omitempty"`
	Checksum              string `json:"checksum,omitempty"` // "when_required" (the default) or "when_supported"
}

// File is a target in a directory.
type File struct {
	Directory string `json:"directory"`
}

// Local is a disk cache that readers fill.
type Local struct {
	Directory string `json:"directory"`
	NumShards uint32 `json:"num_shards"`
	Capacity  uint64 `json:"capacity"` // in files
}

// ReadOnly is a disk cache that somebody else fills.
type ReadOnly struct {
	Directory        string `json:"directory"`
	NumShards        uint32 `json:"num_shards,omitempty"`
	AppendInstanceID *bool  `json:"append_instance_id,omitempty"` // nil means true
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
}

// FromURL returns the target that a store URL names, in one bucket or directory. Besides what a store URL
// may say, the parameter layout names a layout.
func FromURL(raw string) (Target, error) {
	rest, layout := cutLayout(raw)
	u, err := storeurl.Parse(rest)
	if err != nil {
		return Target{}, err
	}
	t := Target{Layout: Layout(layout)}
	if u.Dir != "" {
		t.File = &File{Directory: u.Dir}
	} else {
		t.S3 = &S3{
			Region: u.Region, Endpoint: u.Endpoint, Bucket: u.Bucket, Prefix: u.Prefix,
			DomainAddressing: !u.PathStyle, CreateBucketsOnDemand: u.CreateBucket, Checksum: u.Checksum,
		}
	}
	return t, t.Validate()
}

// cutLayout takes the parameter layout out of a URL.
func cutLayout(raw string) (rest, layout string) {
	path, query, ok := strings.Cut(raw, "?")
	if !ok {
		return raw, ""
	}
	parameters := strings.Split(query, "&")
	others := slices.DeleteFunc(slices.Clone(parameters), func(p string) bool {
		value, ok := strings.CutPrefix(p, "layout=")
		if ok {
			layout = value
		}
		return ok
	})
	switch {
	case len(others) < len(parameters)-1: // named twice: let the URL be refused
		return raw, ""
	case len(others) == 0:
		return path, layout
	}
	return path + "?" + strings.Join(others, "&"), layout
}

// UnmarshalJSON implements json.Unmarshaler. Unknown keys are errors.
func (t *Target) UnmarshalJSON(data []byte) error {
	type plain Target
	var p plain
	if err := strict(data, &p); err != nil {
		return err
	}
	*t = Target(p)
	return t.Validate()
}

// strict is json.Unmarshal of an object (and the objects in it) without unknown
// keys, duplicate ones, or ones in another case.
func strict(data []byte, into any) error {
	if err := checkKeys(data, reflect.TypeOf(into).Elem(), ""); err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return invalid("%w", err)
	}
	return nil
}

func checkKeys(data []byte, typ reflect.Type, path string) error {
	fields := make(map[string]reflect.Type)
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = f.Type
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return invalid("%s: %w", strings.TrimPrefix(path+" is not a JSON object", " "), err)
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		ft, ok := fields[key]
		if !ok {
			return invalid("unknown key %q; there are %s", path+key, strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		}
		if ft.Kind() == reflect.Pointer && ft.Elem().Kind() == reflect.Struct && !bytes.Equal(object[key], []byte("null")) {
			if err := checkKeys(object[key], ft.Elem(), key+"."); err != nil {
				return err
			}
		}
	}
	return nil
}

// Validate reports everything that is wrong with t.
func (t Target) Validate() error {
	set := 0
	var errs []error
	if t.S3 != nil {
		set++
		errs = append(errs, t.S3.validate()...)
	}
	if t.File != nil {
		set++
		errs = append(errs, directory("file", t.File.Directory))
	}
	if t.Local != nil {
		set++
		errs = append(errs, directory("local", t.Local.Directory))
		if t.Local.Capacity == 0 {
			errs = append(errs, invalid(`local: "capacity" is missing; write the largest number of files to keep`))
		}
	}
	if t.ReadOnly != nil {
		set++
		errs = append(errs, directory("read_only", t.ReadOnly.Directory))
	}
	switch t.Layout {
	case "", LayoutChunks, LayoutLog:
		if t.Layout != "" && t.S3 == nil && t.File == nil {
			errs = append(errs, invalid(`a cache has no layout`))
		}
	default:
		errs = append(errs, invalid("unknown layout %q; there are %s and %s", t.Layout, LayoutChunks, LayoutLog))
	}
	if set != 1 {
		errs = append(errs, invalid(`it must have exactly one of the keys "s3", "file", "local", "read_only", and has %d of them`, set))
	}
	return errors.Join(errs...)
}

func directory(kind, dir string) error {
	switch {
	case dir == "":
		return invalid(`%s: "directory" is missing; write an absolute path`, kind)
	case !filepath.IsAbs(dir):
		return invalid(`%s: the directory %q is relative; write an absolute path`, kind, dir)
	}
	return nil
}

func (s *S3) validate() (errs []error) {
	add := func(format string, args ...any) { errs = append(errs, invalid("s3: "+format, args...)) }
	two := s.ChunkBucket != "" || s.ManifestBucket != ""
	switch {
	case s.Bucket != "" && two:
		add(`write either "bucket" or "chunk_bucket" and "manifest_bucket"`)
	case s.Bucket == "" && !two:
		add(`the bucket is missing; write "bucket", or "chunk_bucket" and "manifest_bucket"`)
	case two && s.ChunkBucket == "":
		add(`"chunk_bucket" is missing`)
	case two && s.ManifestBucket == "":
		add(`"manifest_bucket" is missing`)
	}
	if err := store.CheckPrefix(s.Prefix); err != nil {
		add("prefix: %w", err)
	}
	if _, err := s3.ParseEndpoint(s.Endpoint); err != nil {
		add("%w", err)
	}
	if _, err := s3.ParseChecksum(s.Checksum); err != nil {
		add("%w", err)
	}
	return errs
}

// ID returns the name of the target in spools: 16 hex digits that depend on
// the whole specification, and on what the layout is if it says none.
func (t Target) ID() string {
	if t.S3 != nil || t.File != nil {
		t.Layout = t.LayoutOrDefault()
	}
	b, err := json.Marshal(t)
	if err != nil {
		panic("target: " + err.Error()) // strings, numbers and booleans
	}
	return fmt.Sprintf("%016x", xxh3.Hash(b))
}

// String returns the target for people to read.
func (t Target) String() string {
	s := t.place()
	switch {
	case t.Layout == "":
		return s
	case strings.Contains(s, "?"):
		return s + "&layout=" + string(t.Layout)
	}
	return s + "?layout=" + string(t.Layout)
}

func (t Target) place() string {
	switch {
	case t.S3 != nil && t.S3.Bucket != "":
		return t.S3.url(t.S3.Bucket).String()
	case t.S3 != nil:
		return t.S3.url(t.S3.ChunkBucket).String() + " and " + t.S3.url(t.S3.ManifestBucket).String()
	case t.File != nil:
		return storeurl.URL{Dir: t.File.Directory}.String()
	case t.Local != nil:
		return "cache in " + t.Local.Directory
	case t.ReadOnly != nil:
		return "read-only cache in " + t.ReadOnly.Directory
	}
	return "no target"
}

func (s *S3) url(bucket string) storeurl.URL {
	return storeurl.URL{
		Bucket: bucket, Prefix: strings.Trim(s.Prefix, "/"), Region: s.Region, Endpoint: s.Endpoint,
		PathStyle: !s.DomainAddressing, CreateBucket: s.CreateBucketsOnDemand, Checksum: s.Checksum,
	}
}
