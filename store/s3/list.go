package s3

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/boule-db/boule/store"
)

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return s.ListAfter(ctx, prefix, "")
}

// ListAfter is what store.ListAfter looks for.
func (s *Store) ListAfter(ctx context.Context, prefix, after string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		if err := store.CheckPrefix(prefix); err != nil {
			yield(store.Info{}, s.bad(store.VerbList, prefix, err))
			return
		}
		// Keys may have characters that XML has not.
		in := &s3.ListObjectsV2Input{Bucket: &s.bucket, EncodingType: types.EncodingTypeUrl}
		if prefix != "" {
			in.Prefix = &prefix
		}
		if after != "" {
			in.StartAfter = &after
		}
		for {
			out, err := send(ctx, s, store.VerbList, prefix, s.timeout, func(ctx context.Context) (*s3.ListObjectsV2Output, error) {
				return s.client.ListObjectsV2(ctx, in)
			})
			if err != nil {
				yield(store.Info{}, err)
				return
			}
			for _, o := range out.Contents {
				info, err := listed(o, out.EncodingType)
				if err != nil {
					yield(store.Info{}, s.bad(store.VerbList, prefix, err))
					return
				}
				if !yield(info, nil) {
					return
				}
			}
			if !aws.ToBool(out.IsTruncated) {
				return
			}
			if aws.ToString(out.NextContinuationToken) == "" {
				yield(store.Info{}, s.bad(store.VerbList, prefix, errors.New("the answer is cut short and has no continuation token")))
				return
			}
			in.ContinuationToken = out.NextContinuationToken
		}
	}
}

func listed(o types.Object, encoding types.EncodingType) (store.Info, error) {
	key := aws.ToString(o.Key)
	if encoding == types.EncodingTypeUrl {
		plain, err := url.QueryUnescape(key)
		if err != nil {
			return store.Info{}, fmt.Errorf("the answer has a key %q that is not encoded as it says: %w", key, err)
		}
		key = plain
	}
	return store.Info{Key: key, Size: aws.ToInt64(o.Size), ModTime: aws.ToTime(o.LastModified).UTC(), ETag: etag(o.ETag)}, nil
}
