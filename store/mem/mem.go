package mem

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/boule-db/boule/store"
)

// A Store keeps objects in memory. The zero value is ready to use.
type Store struct {
	mu      sync.RWMutex // guards the fields below
	objects map[string]object
	etag    uint64 // the last one given
}

type object struct {
	body    []byte // never changed once here
	modTime time.Time
	etag    string
}

var _ store.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store { return new(Store) }

// String implements store.Store.
func (s *Store) String() string { return "mem://" }

func (o object) info(key string) store.Info {
	return store.Info{Key: key, Size: int64(len(o.body)), ModTime: o.modTime, ETag: o.etag}
}

func (s *Store) fail(verb, key string, err error) error {
	return fmt.Errorf("%s %q in %s: %w", verb, key, s, err)
}

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	info, err := s.put(ctx, key, body, cond)
	if err != nil {
		return store.Info{}, s.fail("put", key, err)
	}
	return info, nil
}

func (s *Store) put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	if err := check(ctx, key); err != nil {
		return store.Info{}, err
	}
	if err := cond.Validate(); err != nil {
		return store.Info{}, err
	}
	body = bytes.Clone(body)
	s.mu.Lock()
	defer s.mu.Unlock()
	old, exists := s.objects[key]
	if cond.IfAbsent && exists || cond.IfMatch != "" && cond.IfMatch != old.etag {
		return store.Info{}, store.ErrPrecondition
	}
	s.etag++
	o := object{body: body, modTime: time.Now().UTC(), etag: strconv.FormatUint(s.etag, 10)}
	if s.objects == nil {
		s.objects = make(map[string]object)
	}
	s.objects[key] = o
	return o.info(key), nil
}

func check(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return store.CheckKey(key)
}

func (s *Store) find(ctx context.Context, key string) (object, error) {
	if err := check(ctx, key); err != nil {
		return object{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, ok := s.objects[key]
	if !ok {
		return object{}, store.ErrNotExist
	}
	return o, nil
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string, opts *store.GetOptions) (*store.Object, error) {
	o, err := s.find(ctx, key)
	if err != nil {
		return nil, s.fail("get", key, err)
	}
	if opts != nil && opts.IfNoneMatch != "" && opts.IfNoneMatch == o.etag {
		return nil, s.fail("get", key, store.ErrNotModified)
	}
	off, n, err := opts.Range(int64(len(o.body)))
	if err != nil {
		return nil, s.fail("get", key, err)
	}
	return &store.Object{Info: o.info(key), Body: io.NopCloser(bytes.NewReader(o.body[off : off+n]))}, nil
}

// Head implements store.Store.
func (s *Store) Head(ctx context.Context, key string) (store.Info, error) {
	o, err := s.find(ctx, key)
	if err != nil {
		return store.Info{}, s.fail("head", key, err)
	}
	return o.info(key), nil
}

// List implements store.Store. It yields the keys there were when it began,
// without those that have gone since.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		if err := store.CheckPrefix(prefix); err != nil {
			yield(store.Info{}, s.fail("list", prefix, err))
			return
		}
		s.mu.RLock()
		keys := slices.Sorted(maps.Keys(s.objects))
		s.mu.RUnlock()
		first, _ := slices.BinarySearch(keys, prefix)
		for _, key := range keys[first:] {
			if !strings.HasPrefix(key, prefix) {
				return
			}
			o, err := s.find(ctx, key)
			if store.IsNotExist(err) {
				continue
			}
			if err != nil {
				yield(store.Info{}, s.fail("list", prefix, err))
				return
			}
			if !yield(o.info(key), nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(store.Info{}, s.fail("list", prefix, err))
		}
	}
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key); err != nil {
		return s.fail("delete", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, key)
	return nil
}

// Touch implements store.Store. It keeps the ETag.
func (s *Store) Touch(ctx context.Context, key string) (store.Info, error) {
	if err := check(ctx, key); err != nil {
		return store.Info{}, s.fail("touch", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[key]
	if !ok {
		return store.Info{}, s.fail("touch", key, store.ErrNotExist)
	}
	o.modTime = time.Now().UTC()
	s.objects[key] = o
	return o.info(key), nil
}
