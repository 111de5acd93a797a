package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"

	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/internal/attempt"
)

const contentType = "application/octet-stream"

// uploadRate is the slowest upload that still counts as progress.
const uploadRate = 128 << 10 // bytes per second

func uploadTime(n int) time.Duration {
	return time.Duration(float64(n) / uploadRate * float64(time.Second))
}

func (s *Store) bad(verb store.Verb, key string, err error) error {
	return fmt.Errorf("%s %q in %s: %w", verb, key, s, err)
}

func etag(p *string) string { return strings.Trim(aws.ToString(p), `"`) }

// serverTime is what the service's clock said, or ours if it did not.
func serverTime(m middleware.Metadata) time.Time {
	if t, ok := awsmiddleware.GetServerTime(m); ok {
		return t.UTC()
	}
	return time.Now().UTC()
}

// Put implements store.Store. The ModTime of its Info is when the service
// answered; the object's may differ by a moment.
func (s *Store) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	if err := errors.Join(store.CheckKey(key), cond.Validate()); err != nil {
		return store.Info{}, s.bad(store.VerbPut, key, err)
	}
	quoted := s.quotes.Load()
	info, err := s.put(ctx, key, body, cond, quoted)
	if err == nil && cond.IfMatch != "" {
		s.matches.Store(true)
	}
	if cond.IfMatch == "" || !errors.Is(err, store.ErrPrecondition) || s.matches.Load() {
		return info, err
	}
	// Lost, or does the service want the other form of the ETag?
	now, headErr := s.Head(ctx, key)
	if headErr != nil || now.ETag != cond.IfMatch {
		return info, err
	}
	info, err = s.put(ctx, key, body, cond, !quoted)
	if err == nil {
		s.quotes.Store(!quoted)
		s.matches.Store(true)
	}
	return info, err
}

func (s *Store) put(ctx context.Context, key string, body []byte, cond store.Condition, quoted bool) (store.Info, error) {
	in := &s3.PutObjectInput{
		Bucket: &s.bucket, Key: &key, Body: bytes.NewReader(body),
		ContentLength: aws.Int64(int64(len(body))), ContentType: aws.String(contentType),
	}
	switch {
	case cond.IfAbsent:
		in.IfNoneMatch = aws.String("*")
	case cond.IfMatch != "" && quoted:
		in.IfMatch = aws.String(`"` + cond.IfMatch + `"`)
	case cond.IfMatch != "":
		in.IfMatch = &cond.IfMatch
	}
	timeout := s.timeout
	if timeout > 0 {
		timeout += uploadTime(len(body))
	}
	out, err := send(ctx, s, store.VerbPut, key, timeout, func(ctx context.Context) (*s3.PutObjectOutput, error) {
		return s.client.PutObject(ctx, in)
	})
	if err == nil {
		return store.Info{Key: key, Size: int64(len(body)), ModTime: serverTime(out.ResultMetadata), ETag: etag(out.ETag)}, nil
	}
	var e *Error
	switch {
	case cond.IsZero():
	case errors.As(err, &e) && errors.Is(e.kind, store.ErrNotExist):
		e.kind = store.ErrPrecondition // nothing there to match
	default:
		err = unknown(err)
	}
	return store.Info{}, err
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string, opts *store.GetOptions) (*store.Object, error) {
	if err := errors.Join(store.CheckKey(key), opts.Validate()); err != nil {
		return nil, s.bad(store.VerbGet, key, err)
	}
	var o store.GetOptions
	if opts != nil {
		o = *opts
	}
	obj, err := s.get(ctx, key, o)
	if errors.Is(err, store.ErrBadRange) && o.Offset == 0 {
		// Only an empty object has no first byte.
		obj, err = s.get(ctx, key, store.GetOptions{IfNoneMatch: o.IfNoneMatch})
	}
	return obj, err
}

func (s *Store) get(ctx context.Context, key string, o store.GetOptions) (_ *store.Object, err error) {
	in := &s3.GetObjectInput{Bucket: &s.bucket, Key: &key}
	ranged := o.Offset > 0 || o.Length > 0
	if ranged {
		in.Range = aws.String(byteRange(o))
	}
	if o.IfNoneMatch != "" {
		in.IfNoneMatch = aws.String(`"` + o.IfNoneMatch + `"`)
	}
	if err := s.pass(ctx, store.VerbGet, key); err != nil {
		return nil, err
	}
	rctx, clock := attempt.Start(ctx, s.timeout)
	defer func() {
		if err != nil {
			clock.End()
		}
	}()
	out, err := s.client.GetObject(rctx, in)
	if err != nil {
		return nil, s.missing(ctx, key, s.wrap(store.VerbGet, key, clock.Err(rctx, err)))
	}
	s.exists.Store(true)
	body := &namedBody{clock.Body(rctx, out.Body), s, key}
	info := store.Info{Key: key, ModTime: aws.ToTime(out.LastModified).UTC(), ETag: etag(out.ETag)}
	if !ranged {
		if info.Size, err = length(out.ContentLength); err != nil {
			return nil, s.bad(store.VerbGet, key, errors.Join(err, body.Close()))
		}
		return &store.Object{Info: info, Body: body}, nil
	}
	if out.ContentRange == nil {
		return s.cut(info, out.ContentLength, o, body)
	}
	if info.Size, err = total(*out.ContentRange, o.Offset); err != nil {
		return nil, s.bad(store.VerbGet, key, errors.Join(err, body.Close()))
	}
	return &store.Object{Info: info, Body: body}, nil
}

// missing turns a 404 that does not say what is missing into ErrNotExist, if it
// is the object. The names of some keys can't stand in an answer that says so.
func (s *Store) missing(ctx context.Context, key string, err error) error {
	var e *Error
	if !errors.As(err, &e) || e.Status != http.StatusNotFound || e.kind != nil || e.Code != "" {
		return err
	}
	if _, headErr := s.Head(ctx, key); errors.Is(headErr, store.ErrNotExist) {
		e.kind = store.ErrNotExist
	}
	return err
}

func byteRange(o store.GetOptions) string {
	if o.Length == 0 {
		return fmt.Sprintf("bytes=%d-", o.Offset)
	}
	return fmt.Sprintf("bytes=%d-%d", o.Offset, o.Offset+o.Length-1)
}

func length(n *int64) (int64, error) {
	if n == nil {
		return 0, errors.New("the answer does not say how long the object is")
	}
	return *n, nil
}

// total returns the size of the object from a Content-Range header.
func total(header string, offset int64) (int64, error) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(header, "bytes "), "-")
	_, size, _ := strings.Cut(rest, "/")
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || first != strconv.FormatInt(offset, 10) {
		return 0, fmt.Errorf("the answer's Content-Range is %q, want one from %d with the object's size", header, offset)
	}
	return n, nil
}

// cut makes the part of an object from an answer that has all of it.
func (s *Store) cut(info store.Info, n *int64, o store.GetOptions, body io.ReadCloser) (*store.Object, error) {
	var err error
	var off, part int64
	if info.Size, err = length(n); err == nil {
		off, part, err = o.Range(info.Size)
	}
	if err == nil {
		_, err = io.CopyN(io.Discard, body, off)
	}
	if err != nil {
		return nil, s.bad(store.VerbGet, info.Key, errors.Join(err, body.Close()))
	}
	type readCloser struct {
		io.Reader
		io.Closer
	}
	return &store.Object{Info: info, Body: readCloser{io.LimitReader(body, part), body}}, nil
}

// namedBody is a body whose errors say what it is of.
type namedBody struct {
	io.ReadCloser
	s   *Store
	key string
}

func (b *namedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("read %q from %s: %w", b.key, b.s, err)
	}
	return n, err
}

// Head implements store.Store. While it is not known that the bucket exists,
// an object that doesn't costs a second request, to tell the two apart.
func (s *Store) Head(ctx context.Context, key string) (store.Info, error) {
	info, _, err := s.head(ctx, key)
	return info, err
}

func (s *Store) head(ctx context.Context, key string) (info store.Info, now time.Time, err error) {
	if err := store.CheckKey(key); err != nil {
		return store.Info{}, time.Time{}, s.bad(store.VerbHead, key, err)
	}
	out, err := send(ctx, s, store.VerbHead, key, s.timeout, func(ctx context.Context) (*s3.HeadObjectOutput, error) {
		return s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: &key})
	})
	if err != nil {
		if errors.Is(err, store.ErrNotExist) && !s.exists.Load() {
			if e := s.look(ctx); errors.Is(e, store.ErrNoBucket) || errors.Is(e, store.ErrAccess) {
				err = e
			}
		}
		return store.Info{}, time.Time{}, err
	}
	info = store.Info{Key: key, ModTime: aws.ToTime(out.LastModified).UTC(), ETag: etag(out.ETag)}
	if info.Size, err = length(out.ContentLength); err != nil {
		return store.Info{}, time.Time{}, s.bad(store.VerbHead, key, err)
	}
	return info, serverTime(out.ResultMetadata), nil
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := store.CheckKey(key); err != nil {
		return s.bad(store.VerbDelete, key, err)
	}
	_, err := send(ctx, s, store.VerbDelete, key, s.timeout, func(ctx context.Context) (*s3.DeleteObjectOutput, error) {
		return s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &key})
	})
	if errors.Is(err, store.ErrNotExist) {
		return nil
	}
	return err
}
