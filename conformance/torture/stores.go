//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/boule-db/boule/conformance/storetest/fakes3"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/store/target"
)

// An upload is a manifest as it once stood in a store.
type upload struct {
	store  string // "s3" or "file"
	name   string // of the manifest
	file   string // a copy
	absent string // a chunk that was not there at that moment
}

// A history keeps every version of every manifest.
type history struct {
	dir string

	mu      sync.Mutex
	copies  int
	uploads []upload
	missed  int // versions that are known to have existed, and were replaced before they could be kept
	faults  map[string]int
	errs    []error
}

// copyName is a name for the next copy.
func (h *history) copyName(store string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.copies++
	return filepath.Join(h.dir, fmt.Sprintf("%s-%05d", store, h.copies))
}

func (h *history) add(u upload) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.uploads = append(h.uploads, u)
}

func (h *history) miss() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.missed++
}

func (h *history) fault(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults[what]++
}

// absentChunk names a chunk, or an index block, that the manifest in body needs and that is not
// there. What get returns is as it is stored.
func absentChunk(body []byte, there func(name string) bool, get func(name string) ([]byte, error)) (string, error) {
	m, _, err := replica.Parse(body)
	if err != nil {
		return "", err
	}
	for _, b := range m.Blocks {
		if b.Stored != manifest.NoBlock && !there(b.Stored.ChunkName()) {
			return b.Stored.ChunkName(), nil
		}
	}
	list, err := m.List(func(f manifest.Fingerprint) ([]byte, error) {
		data, err := get(f.ChunkName())
		if err != nil {
			return nil, err
		}
		return manifest.DecompressChunk(data, f)
	})
	if err != nil {
		return "", err
	}
	for i, f := range list {
		if i > 0 && f != manifest.ZeroChunk && f != list[0] && !there(f.ChunkName()) {
			return f.ChunkName(), nil
		}
	}
	return "", nil
}

// A fakeS3 is an S3 service in the runner's process that remembers all, with a weather.
type fakeS3 struct {
	server *fakes3.Server
	stop   func()
	copies string // directory in which each chunk is kept
	h      *history

	mu     sync.Mutex
	rng    *rand.Rand
	wet    weather
	chunks map[string]bool // acknowledged
	hung   chan struct{}   // closed when the weather changes
}

// A weather says what befalls requests, in percent of them.
type weather struct {
	name                   string
	busy, drop, lost, hang int
	delay                  time.Duration // at most
}

var weathers = []weather{
	{name: "clear"},
	{name: "slow", delay: 400 * time.Millisecond},
	{name: "flaky", busy: 15, drop: 10, lost: 10, delay: 20 * time.Millisecond},
	{name: "throttled", busy: 70},
	{name: "lossy", lost: 50},
	{name: "hanging", hang: 40},
	{name: "down", drop: 100},
	{name: "refusing", busy: 100},
}

const bucket = "torture"

func startS3(dir string, h *history, rng *rand.Rand) (*fakeS3, error) {
	s := &fakeS3{copies: dir, h: h, rng: rng, chunks: map[string]bool{}, hung: make(chan struct{})}
	if err := os.MkdirAll(filepath.Join(dir, "chunks"), 0o700); err != nil {
		return nil, err
	}
	s.server, s.stop = fakes3.Serve()
	s.server.Intercept(s.serve)
	return s, s.server.MakeBucket(bucket)
}

func (s *fakeS3) target() (target.Target, error) {
	return target.FromURL("s3://" + bucket + "/some/prefix?region=" + fakes3.Region + "&path_style=1&endpoint=" + s.server.Endpoint)
}

// change changes the weather, and wakes what hangs.
func (s *fakeS3) change(w weather) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wet = w
	close(s.hung)
	s.hung = make(chan struct{})
	s.h.fault("s3 " + w.name)
	s.server.Forget()
}

func (s *fakeS3) roll(percent int) bool {
	return percent > 0 && s.rng.IntN(100) < percent
}

// serve answers a request as the weather will have it.
func (s *fakeS3) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	s.mu.Lock()
	wet, hung := s.wet, s.hung
	hang, drop, busy, lost := s.roll(wet.hang), s.roll(wet.drop), s.roll(wet.busy), s.roll(wet.lost)
	delay := time.Duration(0)
	if wet.delay > 0 {
		delay = time.Duration(s.rng.Int64N(int64(wet.delay)))
	}
	s.mu.Unlock()
	pause(r.Context(), delay)
	switch {
	case hang:
		_, _ = io.Copy(io.Discard, r.Body) // the server notices the client's end only after the body
		select {
		case <-r.Context().Done():
		case <-hung:
		}
		fakes3.Drop()
	case drop:
		fakes3.Drop()
	case busy:
		fakes3.Fail(w, http.StatusServiceUnavailable, "SlowDown")
	case r.Method == http.MethodPut:
		s.put(w, r, next, lost)
	default:
		next.ServeHTTP(w, r)
	}
}

// A status remembers with what a request was answered; lost, it answers nobody.
type status struct {
	http.ResponseWriter
	code int
	lost bool
}

// WriteHeader implements http.ResponseWriter.
func (s *status) WriteHeader(code int) {
	s.code = code
	if !s.lost {
		s.ResponseWriter.WriteHeader(code)
	}
}

// Write implements http.ResponseWriter.
func (s *status) Write(p []byte) (int, error) {
	if s.lost {
		return len(p), nil
	}
	return s.ResponseWriter.Write(p)
}

// put carries out an upload and remembers it.
func (s *fakeS3) put(w http.ResponseWriter, r *http.Request, next http.Handler, lost bool) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		fakes3.Drop()
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	kind, name := filepath.Base(filepath.Dir(key)), filepath.Base(key)
	absent := ""
	if kind == "manifests" {
		absent, err = absentChunk(body, s.has, s.chunk)
		if err != nil {
			s.h.fail(fmt.Errorf("what is uploaded to %s is no manifest: %w", key, err))
		}
	}
	st := &status{ResponseWriter: w, code: http.StatusOK, lost: lost}
	next.ServeHTTP(st, r)
	if st.code == http.StatusOK {
		switch kind {
		case "manifests":
			u := upload{store: "s3", name: name, file: s.h.copyName("s3"), absent: absent}
			if err := os.WriteFile(u.file, body, 0o600); err != nil {
				s.h.fail(err)
			}
			s.h.add(u)
		case "chunks":
			s.keepChunk(name, body)
		}
	}
	if lost {
		fakes3.Drop()
	}
}

func (s *fakeS3) has(chunk string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chunks[chunk]
}

// chunk returns a chunk as it was put.
func (s *fakeS3) chunk(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(s.copies, "chunks", name))
}

func (s *fakeS3) keepChunk(name string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chunks[name] = true
	file := filepath.Join(s.copies, "chunks", name)
	if _, err := os.Stat(file); err == nil {
		return
	}
	if err := os.WriteFile(file, body, 0o600); err != nil {
		s.h.fail(err)
	}
}

func (h *history) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.errs = append(h.errs, err)
}

// A fileStore is a directory whose manifests are watched, and which goes away.
type fileStore struct {
	dir, away string
	h         *history
	watch     *watcher

	mu   sync.Mutex
	gone bool
}

func startFile(dir string, h *history) (*fileStore, error) {
	s := &fileStore{dir: dir, away: dir + ".away", h: h}
	for _, name := range []string{"chunks", "manifests"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(s.away, []byte("the store is away\n"), 0o600); err != nil {
		return nil, err
	}
	var err error
	s.watch, err = watch(dir, h)
	return s, err
}

// swap makes the directory go away, or come back: in its place there is a file meanwhile.
func (s *fileStore) swap(gone bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone == gone {
		return nil
	}
	if err := unix.Renameat2(unix.AT_FDCWD, s.dir, unix.AT_FDCWD, s.away, unix.RENAME_EXCHANGE); err != nil {
		return fmt.Errorf("exchange %s: %w", s.dir, err)
	}
	s.gone = gone
	if gone {
		s.h.fault("directory away")
	}
	return nil
}

func (s *fileStore) close() error { return errors.Join(s.swap(false), s.watch.close()) }
