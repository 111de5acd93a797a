package retry

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/internal/attempt"
)

// errChanged reports that the rest of a body can't be had any more.
var errChanged = errors.New("store: the object changed while it was read")

// Get implements store.Store. A body that breaks off is continued where it
// broke, as long as the object is still the same one.
func (r *Store) Get(ctx context.Context, key string, opts *store.GetOptions) (*store.Object, error) {
	b := &body{ctx: ctx, l: r.loop(store.VerbGet, key)}
	if opts != nil {
		b.opts = *opts
	}
	if err := b.opts.Validate(); err != nil {
		return nil, fmt.Errorf("get %q from %s: %w", key, r, err)
	}
	if _, err := run(ctx, b.l, b.open); err != nil {
		return nil, err
	}
	return &store.Object{Info: b.info, Body: b}, nil
}

// A body is what a Get returns, and the state to continue it from.
type body struct {
	ctx    context.Context // of the Get, whose rest this is
	l      *loop
	opts   store.GetOptions // what is still to be read
	info   store.Info
	cur    io.ReadCloser // nil when closed or broken
	broken error         // why cur is to be opened again
	err    error         // the end
}

// open gets what is still to be read. Its result is only there for run.
func (b *body) open() (_ struct{}, err error) {
	r := b.l.r
	ctx, clock := attempt.Start(b.ctx, r.opts.Timeout)
	defer func() {
		if err != nil {
			clock.End()
		}
	}()
	obj, err := r.s.Get(ctx, b.l.key, &b.opts)
	if err != nil {
		return struct{}{}, clock.Err(ctx, err)
	}
	cur := clock.Body(ctx, obj.Body)
	switch {
	case b.info.Key == "":
		b.info = obj.Info
		b.opts.IfNoneMatch = ""
	case obj.ETag != b.info.ETag || obj.Size != b.info.Size:
		return struct{}{}, errors.Join(
			fmt.Errorf("get %q from %s: %w", b.l.key, r, permanent{errChanged}), cur.Close())
	}
	b.cur = cur
	return struct{}{}, nil
}

// permanent is an error that IsPermanent takes for one.
type permanent struct{ error }

func (p permanent) Unwrap() error   { return p.error }
func (p permanent) Permanent() bool { return true }

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.broken != nil {
		if b.err = b.reopen(); b.err != nil {
			return 0, b.err
		}
	}
	n, err := b.cur.Read(p)
	b.opts.Offset += int64(n)
	if b.opts.Length > 0 {
		b.opts.Length -= int64(n)
		if b.opts.Length == 0 {
			b.opts.Length = -1 // zero would mean: to the end
		}
	}
	switch {
	case err == nil:
	case err == io.EOF || b.done():
		b.err = io.EOF
		return n, io.EOF
	default:
		b.broken = err
	}
	return n, nil
}

func (b *body) done() bool { return b.opts.Length < 0 || b.opts.Offset >= b.info.Size }

// reopen continues the body after b.broken, which was an attempt's failure.
func (b *body) reopen() error {
	failure := b.broken
	b.broken = nil
	_ = b.cur.Close() // it has failed already
	b.cur = nil
	b.l.attempts--
	_, err := run(b.ctx, b.l, func() (struct{}, error) {
		if err := failure; err != nil {
			failure = nil
			return struct{}{}, fmt.Errorf("read %q from %s: %w", b.l.key, b.l.r, err)
		}
		return b.open()
	})
	return err
}

// Close implements io.Closer.
func (b *body) Close() error {
	if b.err == nil || errors.Is(b.err, io.EOF) {
		b.err = errClosed
	}
	if b.cur == nil {
		return nil
	}
	cur := b.cur
	b.cur = nil
	return cur.Close()
}

var errClosed = errors.New("store: read of a closed body")
