package boule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/storeurl"
	"github.com/boule-db/boule/store/target"
	"github.com/boule-db/boule/store/web"
)

// ErrNoReplica reports that the stores were asked, and none has the replica.
var ErrNoReplica = replica.ErrNotFound

// RestoreOptions configures a restore: what may be overwritten, how much is
// fetched at once, and who is told of the progress. Nil is usable.
type RestoreOptions = replica.RestoreOptions

// SourceRef is the reference to the replica of the database at path, an absolute
// path, on a host; an empty hostname stands for this host.
func SourceRef(hostname, path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") { // as of a drive's name
		path = "/" + path
	}
	return "boule://" + hostname + path
}

// IsRef reports whether s has the form of a reference to a replica, and not of a
// path: boule://, s3://, http://, https:// or file:///.
func IsRef(s string) bool {
	scheme, _, ok := strings.Cut(s, "://")
	switch strings.ToLower(scheme) {
	case "boule", "s3", "http", "https", "file":
		return ok
	}
	return false
}

// A Remote is a replica as a store has it: a verified manifest or entry of a log, and where its chunks can be
// had.
type Remote struct {
	Name     string             // of the manifest, and of the log
	Store    string             // that it came from
	Raw      []byte             // the manifest's bytes, not compressed; of an entry, its header
	Manifest *manifest.Manifest // what they say; of an entry, all but First
	Entry    uint64             // number of the entry; 0 for a manifest

	found   *replica.Remote // of a manifest
	sources []replica.Source
	logged  *logged // of an entry
}

// order orders the states of one replica.
func (r *Remote) order() uint64 {
	if r.logged != nil {
		return r.Entry
	}
	return r.Manifest.Sequence
}

// Fetch gets the manifest that ref leads to, from the first target of cfg that
// has it: boule://HOST/path, s3://bucket/key?…, http(s)://…, file:///path or the
// path of a file. It fails with [ErrNoReplica] when there is none, and with [ErrLost] when a spool of this machine knows that the newest
// state is gone. A nil cfg stands
// for what [ConfigFromEnv] gives.
func Fetch(ctx context.Context, ref string, cfg *Config) (*Remote, error) {
	cfg, err := effective(cfg)
	if err != nil {
		return nil, err
	}
	r, err := fetchRemote(ctx, ref, cfg, nil)
	if err != nil {
		return nil, fmt.Errorf("boule: %w", err)
	}
	return r, nil
}

// fetchRemote is Fetch for one who already has last, which may be nil: if that is
// unchanged, it is the result.
func fetchRemote(ctx context.Context, text string, cfg *Config, last *Remote) (*Remote, error) {
	ref, err := replica.ParseRef(text)
	if err != nil {
		return nil, err
	}
	targets := cfg.durable()
	if len(targets) == 0 {
		if targets = implied(ref); len(targets) == 0 {
			return nil, fmt.Errorf("%s: %w to read from", text, ErrNoTarget)
		}
	}
	if ref.Kind == replica.RefDatabase {
		spoolDir, _ := cfg.spoolDir() // without one, nobody knows better than the store
		return newest(ctx, targets, ref.ManifestName(cfg.hostname()), last, spoolDir)
	}
	body, err := replica.ReadRef(ctx, ref, openRef)
	if err != nil {
		return nil, err
	}
	sources := openSources(ctx, targets)
	if remotelog.IsEntry(body) {
		r, err := readEntry(ctx, sources, body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		return r, nil
	}
	m, encoded, err := replica.Parse(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	found := &replica.Remote{Manifest: m, Encoded: encoded}
	return &Remote{Name: text, Store: text, Raw: encoded, Manifest: m, found: found, sources: sources}, nil
}

// readEntry is what an entry of a log describes, whose header, at least, is encoded. It knows its replica by the hash of a name,
// and the stores are listed for that.
func readEntry(ctx context.Context, sources []replica.Source, encoded []byte) (*Remote, error) {
	e, length, _, err := remotelog.DecodeEntry(encoded)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, src := range sources {
		for info, err := range src.Manifests.List(ctx, remotelog.LatestKey("")) {
			if err != nil {
				errs = append(errs, err)
				break
			}
			name := strings.TrimPrefix(info.Key, remotelog.LatestKey(""))
			if remotelog.NameSum(name) == e.Name {
				log := logrep.New(src.Chunks, src.Manifests, name)
				head, err := log.Entry(ctx, e.Number) // which may have been pruned
				if err == nil && head.Sum() != manifest.Sum(encoded[:length]) {
					err = fmt.Errorf("%w: the store has another entry %d", ErrNoReplica, e.Number)
				}
				if err != nil {
					return nil, err
				}
				return remoteEntry(src.Name, log, head), nil
			}
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return nil, fmt.Errorf("%w: no store has the log of entry %d", ErrNoReplica, e.Number)
}

// implied is the target that a manifest lies in, when it is referred to by file or
// s3 URL: what stands beside its directory "manifests".
func implied(ref replica.Ref) []target.Target {
	switch ref.Kind {
	case replica.RefFile:
		abs, err := filepath.Abs(ref.Path)
		if dir := filepath.Dir(abs); err == nil && filepath.Base(dir) == "manifests" {
			return []target.Target{{File: &target.File{Directory: filepath.Dir(dir)}}}
		}
	case replica.RefS3:
		i := strings.LastIndex("/"+ref.Key, "/manifests/")
		if i < 0 {
			return nil
		}
		u, err := url.Parse(ref.StoreURL())
		if err != nil {
			return nil
		}
		u.Path = ("/" + ref.Key)[:i]
		if t, err := target.FromURL(u.String()); err == nil {
			return []target.Target{t}
		}
	}
	return nil
}

// openRef gets a manifest from a web server or a bucket.
func openRef(ctx context.Context, ref replica.Ref) ([]byte, error) {
	if ref.Kind == replica.RefHTTP {
		return web.Get(ctx, ref.URL, manifest.MaxManifest)
	}
	s, err := storeurl.Open(ctx, ref.StoreURL(), &storeurl.Options{Limiter: budgets.reads})
	if err != nil {
		return nil, err
	}
	body, _, err := store.ReadAll(ctx, s, ref.Key, manifest.MaxManifest)
	return body, err
}

// RestoreFile writes the database to a file, which appears complete and synced or
// not at all. See [replica.RestoreFile].
func (r *Remote) RestoreFile(ctx context.Context, path string, opts *RestoreOptions) error {
	var err error
	if r.logged != nil {
		err = replica.MakeFile(ctx, r.Manifest.Size, path, opts, r.logged.restore)
	} else {
		err = replica.RestoreFile(ctx, r.Manifest, r.sources, path, opts)
	}
	if err != nil {
		return fmt.Errorf("boule: %w", err)
	}
	return nil
}

// RestoreTo writes the database to w, from its beginning to its end. After an
// error a part of it is written.
func (r *Remote) RestoreTo(ctx context.Context, w io.Writer, opts *RestoreOptions) error {
	var err error
	if r.logged != nil {
		err = r.logged.restoreTo(ctx, w, opts)
	} else {
		err = replica.RestoreTo(ctx, r.Manifest, r.sources, w, opts)
	}
	if err != nil {
		return fmt.Errorf("boule: %w", err)
	}
	return nil
}

// Restore writes the replica that ref leads to into the file out, byte for byte as
// the database was. It refuses to overwrite unless opts say so. After an error
// out is what it was.
func Restore(ctx context.Context, ref, out string, cfg *Config, opts *RestoreOptions) (*Remote, error) {
	remote, err := Fetch(ctx, ref, cfg)
	if err != nil {
		return nil, err
	}
	return remote, remote.RestoreFile(ctx, out, opts)
}
