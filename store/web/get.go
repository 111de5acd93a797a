package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/boule-db/boule/store"
)

const (
	tries   = 4
	timeout = 30 * time.Second // of one try
)

// Get returns what is at url, at most limit bytes. What may pass (a lost
// connection, 408, 429, 5xx) is tried again, four times in all. That there is
// nothing (404, 410) is [store.ErrNotExist]; a refusal (401, 403) is
// [store.ErrAccess].
func Get(ctx context.Context, url string, limit int64) ([]byte, error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.Multiplier, wait.MaxInterval = 100*time.Millisecond, 10, 10*time.Second
	return backoff.Retry(ctx, func() ([]byte, error) { return once(ctx, url, limit) },
		backoff.WithBackOff(wait), backoff.WithMaxTries(tries))
}

func once(ctx context.Context, url string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	switch code := res.StatusCode; {
	case code == http.StatusNotFound, code == http.StatusGone:
		return nil, backoff.Permanent(fmt.Errorf("%s: %w", res.Status, store.ErrNotExist))
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return nil, backoff.Permanent(fmt.Errorf("%s: %w", res.Status, store.ErrAccess))
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= 500:
		return nil, errors.New(res.Status)
	case code != http.StatusOK:
		return nil, backoff.Permanent(errors.New(res.Status))
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(body)) > limit:
		return nil, backoff.Permanent(fmt.Errorf("more than %d bytes", limit))
	}
	return body, nil
}
