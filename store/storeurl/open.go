package storeurl

import (
	"context"
	"log/slog"

	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/budget"
	"github.com/boule-db/boule/store/file"
	"github.com/boule-db/boule/store/retry"
	"github.com/boule-db/boule/store/s3"
)

// Options says how to open stores. The zero value is usable; so is a nil
// *Options.
type Options struct {
	Limiter *budget.Limiter // of the process; nil means one of its own, with the default rates
	Retry   *retry.Options  // nil means the defaults
	Logger  *slog.Logger    // nil discards
	// ReadOnly is for who only reads: no bucket is looked for, or created. That there is none, the first request will tell.
	ReadOnly bool
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Limiter == nil {
		out.Limiter = budget.NewLimiter(nil)
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	if out.Retry == nil {
		out.Retry = &retry.Options{Logger: out.Logger}
	}
	return out
}

// Open opens the store that a URL names, with retries and a budget, and with
// the URL's prefix before its keys. It sends a request only if the URL asks for
// the bucket to be created.
func Open(ctx context.Context, raw string, opts *Options) (store.Store, error) {
	u, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	s, err := u.Stack(ctx, opts)
	if err != nil {
		return nil, err
	}
	if u.CreateBucket && (opts == nil || !opts.ReadOnly) {
		if err := store.Prepare(ctx, s, true); err != nil {
			return nil, err
		}
	}
	if u.Prefix == "" {
		return s, nil
	}
	return store.WithPrefix(s, u.Prefix+"/"), nil
}

// Stack opens the store without the prefix, as retry(budget(store)), and sends
// no request.
func (u URL) Stack(ctx context.Context, opts *Options) (*retry.Store, error) {
	o := opts.withDefaults()
	var raw store.Store
	if u.Dir != "" {
		f, err := file.New(u.Dir, nil)
		if err != nil {
			return nil, err
		}
		raw = f
	} else {
		s, err := s3.Open(ctx, u.config(o.Logger))
		if err != nil {
			return nil, err
		}
		raw = s
	}
	return retry.New(budget.New(raw, o.Limiter), o.Retry), nil
}

func (u URL) config(logger *slog.Logger) s3.Config {
	region, endpoint := s3.Resolve(u.Region, u.Endpoint)
	return s3.Config{
		Bucket: u.Bucket, Region: region, Endpoint: endpoint, PathStyle: u.PathStyle,
		Checksum: u.Checksum, Logger: logger,
	}
}
