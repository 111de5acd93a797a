//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/boule-db/boule/conformance/storetest/fakes3"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/file"
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
	layout target.Layout
	copies string      // directory in which each chunk is kept, and each object of logs
	kept   store.Store // the same
	h      *history
	puts   sync.WaitGroup // those that are under way

	mu      sync.Mutex
	rng     *rand.Rand
	wet     weather
	chunks  map[string]bool                 // acknowledged
	objects map[string]manifest.Fingerprint // of logs, as they were put last
	hung    chan struct{}                   // closed when the weather changes
}

// A weather says what befalls requests, in percent of them.
type weather struct {
	name                   string
	busy, drop, lost, hang int
	late                   int           // puts that are carried out seconds later, whether their sender is still there or not
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

// late is a weather for logs only: a manifest that comes late replaces newer ones, which is a known limitation of the
// layout chunks. An entry that comes late finds its place taken, or is the newest still.
var late = weather{name: "late", late: 30, delay: 20 * time.Millisecond}

// weathers are those that the store has to stand.
func (s *fakeS3) weathers() []weather {
	if s.layout == target.LayoutLog {
		return append(slices.Clone(weathers), late)
	}
	return weathers
}

const (
	bucket = "torture"
	prefix = "some/prefix"
)

func startS3(dir string, h *history, rng *rand.Rand, layout target.Layout) (*fakeS3, error) {
	s := &fakeS3{
		layout: layout, copies: dir, h: h, rng: rng, hung: make(chan struct{}),
		chunks: map[string]bool{}, objects: map[string]manifest.Fingerprint{},
	}
	if err := os.MkdirAll(filepath.Join(dir, "chunks"), 0o700); err != nil {
		return nil, err
	}
	var err error
	if s.kept, err = file.New(dir, &file.Options{NoSync: true}); err != nil {
		return nil, err
	}
	s.server, s.stop = fakes3.Serve()
	s.server.Intercept(s.serve)
	return s, s.server.MakeBucket(bucket)
}

func (s *fakeS3) target() (target.Target, error) {
	return target.FromURL("s3://" + bucket + "/" + prefix + "?region=" + fakes3.Region + "&path_style=1&endpoint=" + s.server.Endpoint +
		"&layout=" + string(s.layout))
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
	hang, drop, busy, lost, late := s.roll(wet.hang), s.roll(wet.drop), s.roll(wet.busy), s.roll(wet.lost), s.roll(wet.late)
	delay := time.Duration(0)
	if wet.delay > 0 {
		delay = time.Duration(s.rng.Int64N(int64(wet.delay)))
	}
	delayed := time.Duration(s.rng.Int64N(int64(3 * time.Second)))
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
		if !late {
			delayed = 0
		}
		s.put(w, r, next, lost, delayed)
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
func (s *fakeS3) put(w http.ResponseWriter, r *http.Request, next http.Handler, lost bool, delay time.Duration) {
	s.puts.Add(1)
	defer s.puts.Done()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		fakes3.Drop()
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	pause(context.WithoutCancel(r.Context()), delay)
	key := strings.TrimPrefix(r.URL.Path, "/"+bucket+"/"+prefix+"/")
	kind, name, _ := strings.Cut(key, "/")
	if layout := layoutOf(name); layout != s.layout {
		s.h.fail(fmt.Errorf("%s is put into a store of layout %s", key, s.layout))
	}
	if strings.Contains(name, "/") {
		kind = "log"
	}
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
		case "log":
			s.keepObject(r.Context(), key, body)
		}
	}
	if lost {
		fakes3.Drop()
	}
}

// layoutOf tells the layouts apart by the part of a key behind that for chunks or manifests.
func layoutOf(name string) target.Layout {
	if strings.Contains(name, "/") {
		return target.LayoutLog
	}
	return target.LayoutChunks
}

// keepObject keeps an object of a log. Entries and packs are put once, but for packs whose put was repeated since
// its reply was lost.
func (s *fakeS3) keepObject(ctx context.Context, key string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := manifest.Sum(body)
	last, again := s.objects[key]
	s.objects[key] = sum
	switch {
	case again && strings.HasPrefix(key, "manifests/log/"):
		s.h.fail(fmt.Errorf("entry %s was put twice", key))
	case again && strings.HasPrefix(key, "chunks/packs/") && sum != last:
		s.h.fail(fmt.Errorf("pack %s was overwritten", key))
	case again && strings.HasPrefix(key, "chunks/packs/"):
		return // which keeps the time of the first
	}
	if _, err := s.kept.Put(context.WithoutCancel(ctx), key, body, store.Condition{}); err != nil {
		s.h.fail(err)
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

// A fileStore is a directory whose manifests, if it has any, are watched, and which goes away.
type fileStore struct {
	dir, away string
	h         *history
	watch     *watcher // nil if the layout is log: entries stay where they are

	mu   sync.Mutex
	gone bool
}

func startFile(dir string, h *history, layout target.Layout) (*fileStore, error) {
	s := &fileStore{dir: dir, away: dir + ".away", h: h}
	for _, name := range []string{"chunks", "manifests"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(s.away, []byte("the store is away\n"), 0o600); err != nil {
		return nil, err
	}
	if layout == target.LayoutLog {
		return s, nil
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

func (s *fileStore) close() error {
	err := s.swap(false)
	if s.watch != nil {
		err = errors.Join(err, s.watch.close())
	}
	return err
}
