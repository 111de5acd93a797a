package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/boule-db/boule/store"
)

// Options configures a [Store]. The zero value is usable; so is a nil *Options.
type Options struct {
	NoSync   bool          // leave it to the system when data reach the disk; a crash may then lose acknowledged puts
	FoldCase bool          // create the directory with the layout for file systems that fold cases, on whatever it is
	TempAge  time.Duration // at which temporary files are taken for left behind; zero means an hour, negative never
}

// A Store keeps objects in a directory.
type Store struct {
	dir  string
	opts Options

	listBatch int // see there; for tests

	codec  atomic.Pointer[codec]     // nil until it is known for good
	sweep  atomic.Int64              // when to look for old temporary files next, in Unix nanoseconds
	shards [lockShards]chan struct{} // each holds one element while its lock is wanted

	mu     sync.Mutex // guards synced
	synced map[string]struct{}
}

var _ store.Store = (*Store)(nil)

// New returns the store in dir, which must be absolute and need not exist.
func New(dir string, opts *Options) (*Store, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("open file store: the directory %q is relative; write an absolute path", dir)
	}
	s := &Store{dir: filepath.Clean(dir), listBatch: listBatch}
	for i := range s.shards {
		s.shards[i] = make(chan struct{}, 1)
	}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.TempAge == 0 {
		s.opts.TempAge = time.Hour
	}
	return s, nil
}

// String implements store.Store.
func (s *Store) String() string {
	p := filepath.ToSlash(s.dir)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	return (&url.URL{Scheme: "file", Path: p}).String()
}

func (s *Store) fail(verb, key string, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		err = fmt.Errorf("%w: %w", store.ErrAccess, err)
	}
	return fmt.Errorf("%s %q in %s: %w", verb, key, s, err)
}

func check(ctx context.Context, key string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return store.CheckKey(key)
}

func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// open opens the directory for one call. The caller closes it.
func (s *Store) open() (*os.Root, codec, error) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, codec{}, err
	}
	if c := s.codec.Load(); c != nil {
		return root, *c, nil
	}
	c, err := s.layout(root)
	if err != nil {
		return nil, codec{}, errors.Join(err, root.Close())
	}
	return root, c, nil
}

// layout finds out which layout the directory has. That is decided once the
// directory for temporary files exists.
func (s *Store) layout(root *os.Root) (codec, error) {
	_, tmpErr := root.Lstat(tmpDir)
	_, err := root.Lstat(foldMark)
	if err != nil && !isAbsent(err) {
		return codec{}, err
	}
	c := codec{fold: err == nil}
	if tmpErr == nil {
		s.codec.Store(&c)
	}
	return c, nil
}

func etag(info fs.FileInfo) string {
	return fmt.Sprintf("%x-%x-%x", info.ModTime().UnixNano(), info.Size(), inode(info))
}

func describe(key string, info fs.FileInfo) store.Info {
	return store.Info{Key: key, Size: info.Size(), ModTime: info.ModTime().UTC(), ETag: etag(info)}
}

// place is where an object is, or would be.
type place struct {
	dir  string // relative to the root; "." for itself
	name string
}

func (c codec) place(key string) place {
	dirs, name := c.keyPath(key)
	if len(dirs) == 0 {
		return place{".", name}
	}
	return place{strings.Join(dirs, "/"), name}
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

// path is where the object is unless a directory of that name exists.
func (p place) path() string { return join(p.dir, p.name) }

// aside is where it is otherwise. An object moves from path to aside, once, and
// never back: who looks there in this order does not miss it.
func (p place) aside() string { return join(p.dir, p.name+objSuffix) }

// find opens an object.
func find(root *os.Root, p place) (*os.File, fs.FileInfo, error) {
	for _, name := range []string{p.path(), p.aside()} {
		f, err := root.Open(name)
		if isAbsent(err) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		info, err := f.Stat()
		if err == nil && info.Mode().IsRegular() {
			return f, info, nil
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, store.ErrNotExist
}

// stat describes an object and says at which of its two paths it is.
func stat(root *os.Root, p place) (path string, info fs.FileInfo, err error) {
	for _, path := range []string{p.path(), p.aside()} {
		info, err := root.Stat(path)
		if isAbsent(err) || err == nil && !info.Mode().IsRegular() {
			continue
		}
		return path, info, err
	}
	return "", nil, store.ErrNotExist
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string, opts *store.GetOptions) (*store.Object, error) {
	obj, err := s.get(ctx, key, opts)
	if err != nil {
		return nil, s.fail("get", key, err)
	}
	return obj, nil
}

func (s *Store) get(ctx context.Context, key string, opts *store.GetOptions) (*store.Object, error) {
	if err := errors.Join(check(ctx, key), opts.Validate()); err != nil {
		return nil, err
	}
	root, c, err := s.open()
	if isAbsent(err) {
		return nil, store.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, fi, err := find(root, c.place(key))
	if err != nil {
		return nil, err
	}
	info := describe(key, fi)
	if opts != nil && opts.IfNoneMatch != "" && opts.IfNoneMatch == info.ETag {
		return nil, errors.Join(store.ErrNotModified, f.Close())
	}
	off, n, err := opts.Range(info.Size)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &store.Object{Info: info, Body: &body{io.NewSectionReader(f, off, n), f}}, nil
}

// body is a part of a file.
type body struct {
	io.Reader
	io.Closer
}

// Head implements store.Store.
func (s *Store) Head(ctx context.Context, key string) (store.Info, error) {
	info, err := s.head(ctx, key)
	if err != nil {
		return store.Info{}, s.fail("head", key, err)
	}
	return info, nil
}

func (s *Store) head(ctx context.Context, key string) (store.Info, error) {
	if err := check(ctx, key); err != nil {
		return store.Info{}, err
	}
	root, c, err := s.open()
	if isAbsent(err) {
		return store.Info{}, store.ErrNotExist
	}
	if err != nil {
		return store.Info{}, err
	}
	defer root.Close()
	_, fi, err := stat(root, c.place(key))
	if err != nil {
		return store.Info{}, err
	}
	return describe(key, fi), nil
}
