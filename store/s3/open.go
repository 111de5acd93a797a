package s3

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"

	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/internal/attempt"
)

// A Store is a bucket.
type Store struct {
	*shared
	gate store.Gate // nil: none
}

// shared is what the copies of a Store with other gates have in common.
type shared struct {
	client  *s3.Client
	bucket  string
	base    string // endpoint; empty: AWS
	region  string
	timeout time.Duration
	log     *slog.Logger

	exists   atomic.Bool // the bucket has been seen
	quotes   atomic.Bool // If-Match needs quotes
	matches  atomic.Bool // a put with If-Match has succeeded, so the form is right
	copyFake atomic.Bool // copying an object onto itself leaves its time alone
}

var (
	_ store.Store    = (*Store)(nil)
	_ store.Gater    = (*Store)(nil)
	_ store.Preparer = (*Store)(nil)
)

// idleConns is how many connections stay open for the next request.
const idleConns = 64

// Open returns the store in a bucket. It sends no request to it.
func Open(ctx context.Context, c Config) (*Store, error) {
	s, err := open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open bucket %q: %w", c.Bucket, err)
	}
	return s, nil
}

func open(ctx context.Context, c Config) (*Store, error) {
	if c.Bucket == "" {
		return nil, errors.New("the bucket's name is missing")
	}
	endpoint, err := ParseEndpoint(c.Endpoint)
	if err != nil {
		return nil, err
	}
	checksum, err := ParseChecksum(c.Checksum)
	if err != nil {
		return nil, err
	}
	hc := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConnsPerHost = idleConns
		if c.transport != nil {
			c.transport(t)
		}
	})
	opts := []func(*config.LoadOptions) error{config.WithHTTPClient(hc)}
	if c.Region != "" {
		opts = append(opts, config.WithRegion(c.Region))
	}
	if c.AccessKey != "" {
		opts = append(opts, config.WithCredentialsProvider(
			awscredentials.NewStaticCredentialsProvider(c.AccessKey, c.SecretKey, c.SessionToken)))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("configure the client: %w", err)
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		if endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
		o.UsePathStyle = c.PathStyle
		o.Credentials = credentials{o.Credentials}
		o.Retryer = aws.NopRetryer{}
		o.RetryMaxAttempts = 1
		o.RequestChecksumCalculation = checksum
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.Logger = logging.Nop{}
	})
	sh := &shared{
		client: client, bucket: c.Bucket, base: endpoint, region: cfg.Region,
		timeout: c.Timeout, log: c.Logger,
	}
	if b := client.Options().BaseEndpoint; b != nil {
		sh.base = *b // from the environment, perhaps
	}
	if sh.timeout == 0 {
		sh.timeout = 30 * time.Second
	}
	if sh.log == nil {
		sh.log = slog.New(slog.DiscardHandler)
	}
	return &Store{shared: sh}, nil
}

// Gate implements store.Gater.
func (s *Store) Gate(gate store.Gate) (store.Store, bool) {
	if s.gate != nil {
		inner, outer := s.gate, gate
		gate = func(ctx context.Context, verb store.Verb) error {
			if err := outer(ctx, verb); err != nil {
				return err
			}
			return inner(ctx, verb)
		}
	}
	return &Store{s.shared, gate}, true
}

// String implements store.Store.
func (s *Store) String() string {
	out := "s3://" + s.bucket
	if s.base != "" {
		out += "?endpoint=" + s.base
	}
	return out
}

func (s *Store) endpoint() string {
	if s.base != "" {
		return s.base
	}
	return "AWS region " + s.region
}

// Prepare implements store.Preparer. Credentials that may use the bucket's
// objects and not the bucket itself are good enough.
func (s *Store) Prepare(ctx context.Context, create bool) error {
	err := s.look(ctx)
	var e *Error
	switch {
	case errors.As(err, &e) && e.Status == http.StatusForbidden && e.Code == "AccessDenied":
		s.log.DebugContext(ctx, "may not look at the bucket, assume that it exists", "store", s.String())
		return nil
	case !create || !errors.Is(err, store.ErrNoBucket):
		return err
	}
	return s.create(ctx)
}

// look finds out whether the bucket exists. A listing tells more than a head,
// whose answer has no body and so no error code.
func (s *Store) look(ctx context.Context) error {
	_, err := send(ctx, s, store.VerbBucket, "", s.timeout, func(ctx context.Context) (*s3.ListObjectsV2Output, error) {
		return s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &s.bucket, MaxKeys: aws.Int32(1)})
	})
	return err
}

func (s *Store) create(ctx context.Context) error {
	in := &s3.CreateBucketInput{Bucket: &s.bucket}
	if s.base == "" && s.region != "us-east-1" {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{
			LocationConstraint: types.BucketLocationConstraint(s.region),
		}
	}
	_, err := send(ctx, s, store.VerbBucket, "", s.timeout, func(ctx context.Context) (*s3.CreateBucketOutput, error) {
		return s.client.CreateBucket(ctx, in)
	})
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusConflict {
		return s.look(ctx) // another process was faster, or it is somebody else's
	}
	return err
}

// send sends one request: through the gate, within the timeout, with the error
// classified.
func send[T any](ctx context.Context, s *Store, verb store.Verb, key string, timeout time.Duration,
	request func(context.Context) (T, error),
) (T, error) {
	var none T
	if err := s.pass(ctx, verb, key); err != nil {
		return none, err
	}
	rctx, clock := attempt.Start(ctx, timeout)
	defer clock.End()
	out, err := request(rctx)
	if err != nil {
		return none, s.wrap(verb, key, clock.Err(rctx, err))
	}
	s.exists.Store(true)
	return out, nil
}

// pass waits for leave to send a request. Nothing goes out when ctx is done.
func (s *Store) pass(ctx context.Context, verb store.Verb, key string) error {
	err := context.Cause(ctx)
	if err == nil && s.gate != nil {
		err = s.gate(ctx, verb)
	}
	if err != nil {
		return fmt.Errorf("%s %q in %s: %w", verb, key, s, err)
	}
	if verb == store.VerbBucket {
		store.AskedBucket(ctx)
	}
	return nil
}
