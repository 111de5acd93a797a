package logrep

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

const (
	headerStart = 16       // bytes of an entry that tell how long its header is
	headerRoom  = 16 << 10 // how long headers mostly are at most; those of entries that change much may be longer
	headerNear  = 64 << 10 // frames that begin within that many bytes behind a header are read together with it
)

// Frame returns what is in the frame at p, which must be of that kind, verified by its own fingerprint, after one
// request at most. The caller must not write to it. All errors name the object.
func (l *Log) Frame(ctx context.Context, p remotelog.Place, kind remotelog.Kind) ([]byte, error) {
	b, err := l.frameBytes(ctx, p)
	if err != nil {
		return nil, err
	}
	raw, err := remotelog.DecodeFrame(b, kind)
	if err != nil {
		return nil, l.inFrame(p, err)
	}
	return raw, nil
}

// frameBytes returns the bytes of a frame as they are stored.
func (l *Log) frameBytes(ctx context.Context, p remotelog.Place) ([]byte, error) {
	if b, ok := l.atHand(p); ok {
		return b, nil
	}
	b, err := l.readFrame(ctx, p)
	if err == nil && int64(len(b)) < p.Length {
		err = endsBefore
	}
	if err != nil {
		return nil, l.inFrame(p, err)
	}
	return b, nil
}

// roomFor is how many bytes of header are asked for before frames that end there. If the header is shorter, more than that is only sent if
// other frames follow.
func roomFor(end int64) int64 { return max(headerRoom, min(end/8, 16*headerRoom)) }

// readFrame returns the bytes of a frame as far as the object has them.
func (l *Log) readFrame(ctx context.Context, p remotelog.Place) ([]byte, error) {
	s, key := l.object(p.Object)
	base, known, err := l.base(ctx, p)
	if err != nil {
		return nil, err
	}
	if !known {
		b, _, err := getPart(ctx, s, key, 0, max(headerGuess, roomFor(p.End())+p.End()))
		if err != nil {
			return nil, err
		}
		if base, err = headerLen(b); err != nil {
			return nil, err
		}
		l.learn(p.Object.Entry, base)
		if base+p.End() <= int64(len(b)) {
			l.tails.Add(p.Object.Entry, b[base:])
			return b[base+p.Offset : base+p.End()], nil
		}
	}
	b, _, err := getPart(ctx, s, key, base+p.Offset, p.Length)
	return b, err
}

// base returns from where on the offset of p counts: from the end of the header if p is in an entry. If that is not known, and p is
// not far behind the header, all from the beginning of the object on should be read.
func (l *Log) base(ctx context.Context, p remotelog.Place) (base int64, known bool, err error) {
	if p.Object.Part != 0 {
		return 0, true, nil
	}
	base, known = l.header(p.Object.Entry)
	if known || p.Offset <= headerNear {
		return base, known, nil
	}
	s, key := l.object(p.Object)
	b, _, err := getPart(ctx, s, key, 0, headerStart)
	if err == nil {
		base, err = headerLen(b)
	}
	if err != nil {
		return 0, false, err
	}
	l.learn(p.Object.Entry, base)
	return base, true, nil
}

// headerLen returns the length of the header that b, of which headerStart bytes are enough, begins with.
func headerLen(b []byte) (int64, error) {
	_, length, need, err := remotelog.DecodeEntry(b[:min(len(b), headerStart)])
	if errors.Is(err, remotelog.ErrShort) {
		length, err = need, nil
	}
	if err == nil && length == 0 {
		err = endsBefore
	}
	return int64(length), err
}

var endsBefore = corrupt("the object ends before")

// atHand returns the bytes of a frame if they came with the header of the entry that it is in.
func (l *Log) atHand(p remotelog.Place) ([]byte, bool) {
	if p.Object.Part != 0 {
		return nil, false
	}
	tail, ok := l.tails.Get(p.Object.Entry)
	if !ok || p.Offset < 0 || p.End() > int64(len(tail)) {
		return nil, false
	}
	return tail[p.Offset:p.End():p.End()], true
}

// pages returns the kind of a frame with pages, and what is in it. Such frames are remembered for a while, since they may
// have pages of several chunks, and fetched once for all who need them at a time.
func (l *Log) pages(ctx context.Context, p remotelog.Place) (remotelog.Kind, []byte, error) {
	b, ok := l.atHand(p)
	if !ok {
		var err error
		b, err = l.frames.Get(ctx, placeSum(p), func(ctx context.Context) ([]byte, error) { return l.frameBytes(ctx, p) })
		if err != nil {
			return 0, nil, err
		}
	}
	kind, raw, err := remotelog.OpenFrame(b)
	if err != nil {
		return 0, nil, l.inFrame(p, err)
	}
	return kind, raw, nil
}

// getPart reads a part of an object. It may be shorter if the object ends before.
func getPart(ctx context.Context, s store.Store, key string, offset, length int64) (b []byte, info store.Info, err error) {
	obj, err := getRange(ctx, s, key, offset, length)
	if err != nil {
		return nil, store.Info{}, err
	}
	defer func() { err = errors.Join(err, obj.Body.Close()) }()
	b = make([]byte, min(length, max(obj.Size-offset, 0)))
	if _, err := io.ReadFull(obj.Body, b); err != nil {
		return nil, store.Info{}, fmt.Errorf("read %q from %s: %w", key, s, err)
	}
	return b, obj.Info, nil
}

func getRange(ctx context.Context, s store.Store, key string, offset, length int64) (*store.Object, error) {
	obj, err := s.Get(ctx, key, &store.GetOptions{Offset: offset, Length: length})
	if errors.Is(err, store.ErrBadRange) {
		err = fmt.Errorf("%w: %w", endsBefore, err)
	}
	return obj, err
}

// inFrame adds where a frame is to an error about it.
func (l *Log) inFrame(p remotelog.Place, err error) error {
	s, key := l.object(p.Object)
	return &Fault{Object: key, frame: p, Err: fmt.Errorf("%s in %s: %w", l.describe(p), s, err)}
}

// describe says where a frame is.
func (l *Log) describe(p remotelog.Place) string {
	_, key := l.object(p.Object)
	if p.Object.Part == 0 {
		return fmt.Sprintf("%d bytes %d behind the header of %s", p.Length, p.Offset, key)
	}
	return fmt.Sprintf("%d bytes at %d of %s", p.Length, p.Offset, key)
}

// placeSum is the name of a frame in a cache.
func placeSum(p remotelog.Place) manifest.Fingerprint { return manifest.Sum([]byte(p.String())) }
