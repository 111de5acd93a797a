//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/file"
)

// soundState is the state that a database file is in, by the stock program: it is an error if
// the file is not sound, or contradicts itself. A database without tables is in the zero state:
// PRAGMA auto_vacuum commits such a one.
func soundState(ctx context.Context, name string) (s state, err error) {
	out, err := stock(ctx, name, `PRAGMA integrity_check; SELECT count(*) FROM sqlite_schema`)
	if err != nil {
		return s, err
	}
	switch out {
	case "ok\n0":
		return s, nil
	case "ok\n6": // two tables, an index, three triggers
	default:
		return s, fmt.Errorf("integrity_check and tables: %s", out)
	}
	if out, err = stock(ctx, name, contradictions); err != nil {
		return s, err
	}
	lines := strings.Split("\n"+out, "\n")
	if len(lines) != 3 {
		return s, fmt.Errorf("sqlite3 says %q", out)
	}
	stamp, err := numbers(lines[1], 6)
	if err != nil {
		return s, err
	}
	s = state{stamp[0], stamp[1], stamp[2], stamp[3], stamp[4], stamp[5]}
	t, err := numbers(lines[2], 4)
	if err != nil {
		return s, err
	}
	if t[0] != s.Cnt || t[1] != s.Sum || t[2] != s.Bytes || t[3] != 0 {
		return s, fmt.Errorf("no state of one moment: it says %v, but holds %d rows, sum %d, %d bytes, and %d rows with another's text", s, t[0], t[1], t[2], t[3])
	}
	return s, nil
}

// stock has the stock program run SQL on a file, without changing it.
func stock(ctx context.Context, name, sql string) (string, error) {
	cmd := exec.CommandContext(ctx, "sqlite3", "-batch", "-bail", "-readonly", name, sql)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("sqlite3: %w: %s%s", err, out.String(), errs.String())
	}
	return strings.TrimSpace(out.String()), nil
}

func numbers(line string, n int) ([]int64, error) {
	f := strings.Split(line, "|")
	if len(f) != n {
		return nil, fmt.Errorf("sqlite3 says %q", line)
	}
	all := make([]int64, n)
	for i := range f {
		var err error
		if all[i], err = strconv.ParseInt(f[i], 10, 64); err != nil {
			return nil, fmt.Errorf("sqlite3 says %q: %w", line, err)
		}
	}
	return all, nil
}

// A judge compares what was uploaded with what was seen.
type judge struct {
	k         *knowledge
	scratch   string                      // directory for what is restored
	sources   map[string][]replica.Source // by store
	takeovers bool                        // of logs may happen

	mu   sync.Mutex
	rep  *report
	done map[judged]error
}

type judged struct {
	store    string
	size     int64
	contents manifest.Fingerprint
}

// source reads a directory with the layout of a store.
func source(dir string) ([]replica.Source, error) {
	s, err := file.New(dir, nil)
	if err != nil {
		return nil, err
	}
	return []replica.Source{{Chunks: store.WithPrefix(s, "chunks/"), Manifests: store.WithPrefix(s, "manifests/")}}, nil
}

// all judges every upload of a round, and returns what is wrong with them.
func (j *judge) all(ctx context.Context, uploads []upload) []string {
	wrong := make([]string, len(uploads))
	var g errgroup.Group
	g.SetLimit(2)
	for i, u := range uploads {
		g.Go(func() error {
			err := j.one(ctx, u, filepath.Join(j.scratch, strconv.Itoa(i)+".db"))
			if err != nil && ctx.Err() == nil {
				wrong[i] = fmt.Sprintf("manifest %s in store %s (%s): %v", u.name, u.store, filepath.Base(u.file), err)
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in wrong
	var all []string
	for _, w := range wrong {
		if w != "" {
			all = append(all, w)
		}
	}
	return all
}

func (j *judge) one(ctx context.Context, u upload, out string) error {
	body, err := os.ReadFile(u.file)
	if err != nil {
		return err
	}
	m, _, err := replica.Parse(body)
	if err != nil {
		return err
	}
	if u.absent != "" {
		err = fmt.Errorf("uploaded before its chunk %s", u.absent)
	}
	j.mu.Lock()
	j.rep.Manifests[u.store]++
	j.mu.Unlock()
	verdict := j.verdict(judged{u.store, m.Size, m.Contents()}, func() error {
		return j.restore(ctx, out, m.Size, func(f *os.File) error { return replica.Restore(ctx, m, j.sources[u.store], f, nil) })
	})
	if err := errors.Join(err, verdict); err != nil {
		return err
	}
	j.mu.Lock()
	j.rep.Verified++
	j.mu.Unlock()
	return nil
}

// verdict judges the same contents once.
func (j *judge) verdict(key judged, restore func() error) error {
	j.mu.Lock()
	verdict, known := j.done[key]
	j.mu.Unlock()
	if known {
		return verdict
	}
	verdict = restore()
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, known := j.done[key]; !known {
		j.rep.Distinct++
	}
	j.done[key] = verdict
	return verdict
}

// restore has a database restored to the file out, and compares; what is wrong stays there.
func (j *judge) restore(ctx context.Context, out string, size int64, write func(*os.File) error) error {
	f, err := os.OpenFile(out, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := write(f); err != nil {
		return err
	}
	if err := j.compare(ctx, f, out, size); err != nil {
		return err
	}
	return os.Remove(out)
}

func (j *judge) compare(ctx context.Context, f *os.File, name string, size int64) error {
	p, err := fingerprint(f, size)
	if err != nil {
		return err
	}
	s, err := soundState(ctx, name)
	if err != nil {
		return err
	}
	if by, ok := j.k.rolledBack[s]; ok {
		return fmt.Errorf("state %v was rolled back (%s)", s, by)
	}
	if _, ok := j.k.seen[s]; !ok {
		return fmt.Errorf("nobody has seen state %v", s)
	}
	seen := j.k.samples[sample{s, p.header}]
	if len(seen) == 0 {
		return nil
	}
	live, whole := false, false
	for _, q := range seen {
		live, whole = live || q.live == p.live, whole || q.whole == p.whole
	}
	if !live {
		return fmt.Errorf("the bytes are not those that a reader saw in state %v", s)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.rep.Compared++
	if whole {
		j.rep.Identical++
	}
	return nil
}

// sameFiles says where two files differ first.
func sameFiles(a, b string) error {
	x, err := os.ReadFile(a)
	if err != nil {
		return err
	}
	y, err := os.ReadFile(b)
	if err != nil {
		return err
	}
	if bytes.Equal(x, y) {
		return nil
	}
	at := 0
	for at < min(len(x), len(y)) && x[at] == y[at] {
		at++
	}
	return fmt.Errorf("%s (%d bytes) and %s (%d bytes) differ from byte %d on", a, len(x), b, len(y), at)
}
