package s3count

import (
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// A Kind is what a request asks for.
type Kind string

// The kinds, and what Amazon bills as "class A": all that write or list. DELETE is free.
const (
	Get    Kind = "GET"
	Head   Kind = "HEAD"
	List   Kind = "LIST"
	Put    Kind = "PUT"
	Part   Kind = "PART" // of a multipart upload
	Post   Kind = "POST" // begin or complete a multipart upload, delete several objects
	Delete Kind = "DELETE"
	Other  Kind = "OTHER"
)

// KindOf is the kind of a request with the bucket in its path.
func KindOf(r *http.Request) Kind {
	q := r.URL.Query()
	switch r.Method {
	case http.MethodGet:
		if isList(r.URL.Path, q) {
			return List
		}
		return Get
	case http.MethodHead:
		return Head
	case http.MethodPut:
		if q.Has("partNumber") {
			return Part
		}
		return Put
	case http.MethodPost:
		return Post
	case http.MethodDelete:
		return Delete
	}
	return Other
}

// isList says whether a GET lists: objects, versions, uploads or buckets, none of which name an object.
func isList(path string, q url.Values) bool {
	slashes := 0
	for i, c := range path {
		if c == '/' && i < len(path)-1 {
			slashes++
		}
	}
	return slashes < 2 || q.Has("uploadId")
}

// Counts is what was asked, and answered.
type Counts struct {
	Requests map[Kind]int64
	Up, Down int64 // bytes of bodies: of requests, and of answers
}

// Sum is the number of requests of some kinds; of all if none is named.
func (c Counts) Sum(kinds ...Kind) (n int64) {
	if len(kinds) == 0 {
		for _, m := range c.Requests {
			n += m
		}
		return n
	}
	for _, k := range kinds {
		n += c.Requests[k]
	}
	return n
}

// ClassA is the number of requests that cost most.
func (c Counts) ClassA() int64 { return c.Sum(Put, Part, Post, List) }

// Minus is what came after an earlier count.
func (c Counts) Minus(before Counts) Counts {
	d := Counts{Requests: map[Kind]int64{}, Up: c.Up - before.Up, Down: c.Down - before.Down}
	for k, n := range c.Requests {
		if n -= before.Requests[k]; n != 0 {
			d.Requests[k] = n
		}
	}
	return d
}

// A Proxy counts. It is safe for concurrent use.
type Proxy struct {
	URL string // to be used instead of the service's

	server   *http.Server
	latency  atomic.Int64
	up, down atomic.Int64

	mu       sync.Mutex // guards requests
	requests map[Kind]int64
}

// New starts a proxy in front of the service at a URL.
func New(service string) (*Proxy, error) {
	to, err := url.Parse(service)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{URL: "http://" + listener.Addr().String(), requests: map[Kind]int64{}}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	transport.DisableCompression = true
	transport.Proxy = nil
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
		},
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // clients give up requests
	}
	p.server = &http.Server{Handler: p.counting(forward), ReadHeaderTimeout: time.Minute}
	go func() {
		if err := p.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(fmt.Errorf("s3count: %w", err)) // nothing that is measured would be true
		}
	}()
	return p, nil
}

// Close stops the proxy; requests under way are broken off.
func (p *Proxy) Close() error { return p.server.Close() }

// SetLatency delays each request from now on, before the service gets it.
func (p *Proxy) SetLatency(d time.Duration) { p.latency.Store(int64(d)) }

// Counts returns the counts so far. A request counts when it arrives, and bytes do when they pass.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Counts{Requests: maps.Clone(p.requests), Up: p.up.Load(), Down: p.down.Load()}
}

func (p *Proxy) counting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests[KindOf(r)]++
		p.mu.Unlock()
		if d := time.Duration(p.latency.Load()); d > 0 {
			timer := time.NewTimer(d)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-r.Context().Done():
				return
			}
		}
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = countedBody{r.Body, &p.up}
		}
		next.ServeHTTP(&countedWriter{w, &p.down}, r)
	})
}

type countedBody struct {
	io.ReadCloser
	n *atomic.Int64
}

func (b countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	return n, err
}

type countedWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (w *countedWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n.Add(int64(n))
	return n, err
}

// Unwrap lets the answer be flushed.
func (w *countedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
