package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
	"unicode/utf8"
)

// MaxKey is the length of the longest key, in bytes.
const MaxKey = 1024

// A Store keeps objects under keys. It is safe for concurrent use. What has
// been acknowledged is seen by every later call, through whatever Store.
// A call whose context is done before it starts changes nothing.
type Store interface {
	// Put stores a whole object or nothing. Readers see the old object or the
	// new one, never a mixture. It does not keep body.
	Put(ctx context.Context, key string, body []byte, cond Condition) (Info, error)
	// Get opens an object, or the part that opts (which may be nil) names.
	// The caller closes the Body.
	Get(ctx context.Context, key string, opts *GetOptions) (*Object, error)
	// Head describes an object.
	Head(ctx context.Context, key string) (Info, error)
	// List yields the objects whose keys start with prefix, in byte order of
	// their keys. It goes on through what a directory would hold. After an
	// error it yields nothing more.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]
	// Delete removes an object; that it was absent already is success.
	Delete(ctx context.Context, key string) error
	// Touch makes an object's ModTime now (within a few seconds), so that
	// whatever expires objects by age spares it. The contents stay. It is
	// meant for objects that nobody overwrites with other contents meanwhile.
	Touch(ctx context.Context, key string) (Info, error)
	// String returns the store's URL, without credentials.
	String() string
}

// A Condition makes a Put depend on what is there. The zero value does not.
// At most one field may be set.
type Condition struct {
	IfAbsent bool   // only if there is no object under the key
	IfMatch  string // only if the object's ETag is this one
}

// Validate returns ErrBadCondition if c asks for two things at once.
func (c Condition) Validate() error {
	if c.IfAbsent && c.IfMatch != "" {
		return fmt.Errorf("%w: IfAbsent and IfMatch exclude each other", ErrBadCondition)
	}
	return nil
}

// IsZero reports whether c asks for nothing.
func (c Condition) IsZero() bool { return c == Condition{} }

// GetOptions says which part of an object to get, and when. The zero value,
// like nil, means all of it, always.
type GetOptions struct {
	Offset      int64  // first byte
	Length      int64  // number of bytes, fewer if the object ends before; zero: to the end
	IfNoneMatch string // ErrNotModified if the object's ETag is this one
}

// Range returns the part of an object of the given size that o asks for.
// An offset at or past the end is ErrBadRange, unless it is zero.
func (o *GetOptions) Range(size int64) (offset, length int64, err error) {
	if o == nil {
		return 0, size, nil
	}
	if err := o.Validate(); err != nil {
		return 0, 0, err
	}
	if o.Offset > 0 && o.Offset >= size {
		return 0, 0, fmt.Errorf("%w: offset %d of an object of %d bytes", ErrBadRange, o.Offset, size)
	}
	length = size - o.Offset
	if o.Length > 0 {
		length = min(length, o.Length)
	}
	return o.Offset, length, nil
}

// Validate returns ErrBadRange if an offset or a length is negative.
func (o *GetOptions) Validate() error {
	if o != nil && (o.Offset < 0 || o.Length < 0) {
		return fmt.Errorf("%w: offset %d, length %d", ErrBadRange, o.Offset, o.Length)
	}
	return nil
}

// Info describes an object.
type Info struct {
	Key     string
	Size    int64     // of the whole object
	ModTime time.Time // UTC, by the store's clock; some services keep only seconds
	ETag    string    // changes with the contents; opaque, without quotes
}

// An Object is an open one. The Body is what was asked for, which may be less
// than Size says.
type Object struct {
	Info
	Body io.ReadCloser
}

// CheckKey returns ErrBadKey if key is not a legal one.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: it is empty", ErrBadKey)
	case len(key) > MaxKey:
		return fmt.Errorf("%w: %d bytes, the most is %d: it begins with %.40q", ErrBadKey, len(key), MaxKey, key)
	case !utf8.ValidString(key):
		return fmt.Errorf("%w: it is not UTF-8: %.80q", ErrBadKey, key)
	}
	return nil
}

// CheckPrefix returns ErrBadKey if prefix can't start a legal key. An empty one can.
func CheckPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	return CheckKey(prefix)
}

// ReadAll gets a whole object of at most limit bytes into memory. A larger one
// is ErrTooLarge.
func ReadAll(ctx context.Context, s Store, key string, limit int64) ([]byte, Info, error) {
	obj, err := s.Get(ctx, key, nil)
	if err != nil {
		return nil, Info{}, err
	}
	body, err := readBody(obj, limit)
	if err != nil {
		return nil, Info{}, fmt.Errorf("read %q from %s: %w", key, s, err)
	}
	return body, obj.Info, nil
}

func readBody(obj *Object, limit int64) (body []byte, err error) {
	defer func() { err = errors.Join(err, obj.Body.Close()) }()
	if obj.Size > limit {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, obj.Size, limit)
	}
	body, err = io.ReadAll(io.LimitReader(obj.Body, limit+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(body)) > limit:
		return nil, fmt.Errorf("%w: the limit is %d bytes", ErrTooLarge, limit)
	case int64(len(body)) != obj.Size:
		return nil, fmt.Errorf("%w: got %d bytes of %d", io.ErrUnexpectedEOF, len(body), obj.Size)
	}
	return body, nil
}
