package s3

import (
	"context"
	"net"
	"net/http"
	"time"
)

// WithDial makes a client connect by its own means.
func WithDial(c Config, dial func(ctx context.Context, network, addr string) (net.Conn, error)) Config {
	c.transport = func(t *http.Transport) { t.DialContext = dial }
	return c
}

// TouchSlack is what a Touch lets pass.
const TouchSlack = touchSlack

// UploadTime is the time that a body adds to the timeout of its put.
func UploadTime(n int) time.Duration { return uploadTime(n) }
