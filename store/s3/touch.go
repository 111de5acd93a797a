package s3

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/boule-db/boule/store"
)

// touchSlack is how far the time of an object may be behind the service's clock
// just after it was touched: both have whole seconds, and a service may have
// more than one clock.
const touchSlack = 5 * time.Second

// maxTouch is the largest object that is put again to touch it.
const maxTouch = 256 << 20

// Touch implements store.Store. It copies the object onto itself and looks
// whether that made it younger; where it doesn't, the object is put again.
func (s *Store) Touch(ctx context.Context, key string) (store.Info, error) {
	if err := store.CheckKey(key); err != nil {
		return store.Info{}, s.bad(store.VerbCopy, key, err)
	}
	if s.copyFake.Load() {
		return s.putAgain(ctx, key)
	}
	err := s.copyToSelf(ctx, key)
	var e *Error
	switch {
	case err == nil:
	case errors.As(err, &e) && refuses(e):
		return s.putAgain(ctx, key)
	default:
		return store.Info{}, err
	}
	info, now, err := s.head(ctx, key)
	if err != nil {
		return store.Info{}, err
	}
	if now.Sub(info.ModTime) <= touchSlack {
		return info, nil
	}
	s.log.InfoContext(ctx, "a copy leaves the object's time alone, will put objects again to touch them",
		"store", s.String(), "key", key, "modified", info.ModTime, "now", now)
	s.copyFake.Store(true)
	return s.putAgain(ctx, key)
}

// refuses reports whether the service does not do copies at all, or not onto
// itself.
func refuses(e *Error) bool {
	return e.Status == http.StatusNotImplemented || e.Status == http.StatusMethodNotAllowed ||
		e.Status == http.StatusBadRequest
}

func (s *Store) copyToSelf(ctx context.Context, key string) error {
	_, err := send(ctx, s, store.VerbCopy, key, s.timeout, func(ctx context.Context) (*s3.CopyObjectOutput, error) {
		return s.client.CopyObject(ctx, &s3.CopyObjectInput{
			Bucket: &s.bucket, Key: &key, CopySource: aws.String(escape(s.bucket + "/" + key)),
			MetadataDirective: types.MetadataDirectiveReplace, ContentType: aws.String(contentType),
		})
	})
	return s.missing(ctx, key, err)
}

// escape percent-encodes all that has a meaning in a header or a path, except
// the slash.
func escape(s string) string {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(plain, s[i]) >= 0 {
			b.WriteByte(s[i])
		} else {
			b.Write([]byte{'%', hex[s[i]>>4], hex[s[i]&15]})
		}
	}
	return b.String()
}

// putAgain puts an object's own bytes, unless somebody else puts others
// meanwhile, who thereby touches it.
func (s *Store) putAgain(ctx context.Context, key string) (store.Info, error) {
	body, info, err := store.ReadAll(ctx, s, key, maxTouch)
	if err != nil {
		return store.Info{}, err
	}
	out, err := s.Put(ctx, key, body, store.Condition{IfMatch: info.ETag})
	if errors.Is(err, store.ErrPrecondition) {
		return s.Head(ctx, key)
	}
	return out, err
}
