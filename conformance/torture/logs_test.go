//go:build linux

package main

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/file"
	"github.com/boule-db/boule/store/target"
)

const logName = "replica"

// A fileSource has all chunks of a file.
type fileSource map[manifest.Fingerprint][]byte

func (s fileSource) Block(context.Context, manifest.Fingerprint) ([]byte, error) {
	return nil, fs.ErrNotExist
}

func (s fileSource) Chunk(_ context.Context, f manifest.Fingerprint) ([]byte, error) {
	if s[f] == nil {
		return nil, fs.ErrNotExist
	}
	return s[f], nil
}

// logged appends a database to a log, in packs, again and again, each time with another sequence.
func logged(t *testing.T, name string, sequences ...uint64) (dir string) {
	t.Helper()
	body, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	src := fileSource{}
	m := &manifest.Manifest{Header: manifest.HeaderSum(body[:manifest.HeaderSize]), Size: int64(len(body)), Generator: "test", Writer: "test"}
	for off := 0; off < len(body); off += manifest.ChunkSize {
		chunk := body[off:min(off+manifest.ChunkSize, len(body))]
		m.Chunks = append(m.Chunks, manifest.Sum(chunk))
		src[manifest.Sum(chunk)] = chunk
	}
	m.First = body[:min(len(body), manifest.ChunkSize)]
	dir = t.TempDir()
	s, err := logsIn("file", dir)
	if err != nil {
		t.Fatal(err)
	}
	w := logwriter.New(s.packs, s.entries, logName, logwriter.Options{
		Owner: remotelog.Owner{Spool: [16]byte{1}}, Inline: -1, LatestEvery: 1,
	})
	for i, n := range sequences {
		m.Sequence = n
		appending := w.Append
		if i > 0 && n <= sequences[i-1] {
			appending = w.Takeover
		}
		if _, err := appending(t.Context(), m, src); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The judge of logs finds what it is there to find.
func TestJudgeLogs(t *testing.T) {
	if !needsStock(t) {
		return
	}
	name, s := database(t)
	seen := fmt.Sprintf("S %s read .", fields(s))
	entry := func(n uint64) string {
		return filepath.Join("manifests", filepath.FromSlash(remotelog.EntryKey(logName, n)))
	}
	pack := func(t *testing.T, dir string) string {
		all, err := filepath.Glob(filepath.Join(dir, "chunks", "packs", logName, "*"))
		if err != nil || len(all) == 0 {
			t.Fatal(all, err)
		}
		return all[0]
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name      string
		sequences []uint64
		line      string
		harm      func(t *testing.T, dir string)
		want      string // empty: all is well
	}{
		{name: "sound", line: seen},
		{name: "not seen", want: "nobody has seen"},
		{name: "rolled back", line: fmt.Sprintf("R %s DELETE/rollback .", fields(s)), want: "was rolled back"},
		{name: "gap", line: seen, want: "entry 3 is where 2 should be", harm: func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, entry(2))))
		}},
		{name: "first gone", line: seen, want: "entry 2 is where 1 should be", harm: func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, entry(1))))
		}},
		{name: "all gone", line: seen, want: "a copy of an entry, and no entry", harm: func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, filepath.Dir(entry(1)))))
		}},
		{name: "overwritten", line: seen, want: "the entry before it has the fingerprint", harm: func(t *testing.T, dir string) {
			other, err := os.ReadFile(filepath.Join(logged(t, name, 1, 8), entry(2)))
			must(t, err)
			must(t, os.Remove(filepath.Join(dir, entry(2))))
			must(t, os.WriteFile(filepath.Join(dir, entry(2)), other, 0o600))
		}},
		{name: "pack gone", line: seen, want: "names", harm: func(t *testing.T, dir string) { must(t, os.Remove(pack(t, dir))) }},
		{name: "pack damaged", line: seen, want: "check: ", harm: func(t *testing.T, dir string) {
			body, err := os.ReadFile(pack(t, dir))
			must(t, err)
			body[len(body)/2]++
			must(t, os.WriteFile(pack(t, dir), body, 0o600))
		}},
		{name: "pack late", line: seen, want: "which it names", harm: func(t *testing.T, dir string) {
			later := time.Now().Add(time.Second)
			must(t, os.Chtimes(pack(t, dir), later, later))
		}},
		{name: "sequence", sequences: []uint64{5, 4}, line: seen, want: "sequence 4, the one before it has 5"},
		{name: "takeover", sequences: []uint64{5, 4}, line: seen, want: "it took the replica over"},
		{name: "copy damaged", line: seen, want: "check: ", harm: func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "manifests", "latest", logName), []byte("x"), 0o600))
		}},
		{name: "copy of another", line: seen, want: "is not a copy of the header", harm: func(t *testing.T, dir string) {
			body, err := os.ReadFile(filepath.Join(logged(t, name, 1), "manifests", "latest", logName))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, "manifests", "latest", logName), body, 0o600))
		}},
		{name: "stranger", line: seen, want: "neither an entry nor a copy", harm: func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "manifests", "m"), nil, 0o600))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.sequences == nil {
				tc.sequences = []uint64{1, 2, 3}
			}
			dir := logged(t, name, tc.sequences...)
			if tc.harm != nil {
				tc.harm(t, dir)
			}
			k := newKnowledge()
			k.add("test", tc.line)
			j := &judge{k: k, scratch: t.TempDir(), rep: newReport(1), done: map[judged]error{}}
			s, err := logsIn("file", dir)
			must(t, err)
			wrong := j.logs(t.Context(), s)
			if tc.want == "" {
				if len(wrong) > 0 || j.rep.Entries["file"] != 3 || j.rep.EntriesVerified != 3 || j.rep.Packs == 0 || j.rep.Unused != 0 {
					t.Errorf("got %v, %+v", wrong, j.rep)
				}
				return
			}
			if !strings.Contains(strings.Join(wrong, "\n"), tc.want) {
				t.Errorf("got %v, want %q", wrong, tc.want)
			}
		})
	}
}

// What differs from what was put is noticed.
func TestSameObjects(t *testing.T) {
	if !needsStock(t) {
		return
	}
	name, _ := database(t)
	dir := logged(t, name, 1)
	s, err := logsIn("s3", dir)
	if err != nil {
		t.Fatal(err)
	}
	there := target.Target{File: &target.File{Directory: dir}, Layout: target.LayoutLog}
	if err := sameObjects(t.Context(), s, there); err != nil {
		t.Error(err)
	}
	there.File.Directory = t.TempDir()
	if err := sameObjects(t.Context(), s, there); err == nil {
		t.Error("an empty store is the same")
	}
}

// The service notices what must be put once.
func TestPutOnce(t *testing.T) {
	for _, tc := range []struct {
		name, key, first, second string
		want                     string
	}{
		{"entry", "manifests/log/r/1", "x", "x", "was put twice"},
		{"pack repeated", "chunks/packs/r/1", "x", "x", ""},
		{"pack overwritten", "chunks/packs/r/1", "x", "y", "was overwritten"},
		{"copy", "manifests/latest/r", "x", "y", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			kept, err := file.New(t.TempDir(), nil)
			if err != nil {
				t.Fatal(err)
			}
			s := &fakeS3{kept: kept, h: &history{}, objects: map[string]manifest.Fingerprint{}}
			s.keepObject(t.Context(), tc.key, []byte(tc.first))
			s.keepObject(t.Context(), tc.key, []byte(tc.second))
			if got := fmt.Sprint(s.h.errs); tc.want == "" && len(s.h.errs) > 0 || !strings.Contains(got, tc.want) {
				t.Errorf("got %s, want %q", got, tc.want)
			}
			if body, _, err := store.ReadAll(t.Context(), kept, tc.key, 10); err != nil || tc.want == "" && string(body) != tc.second {
				t.Errorf("kept %q, %v", body, err)
			}
		})
	}
}

// What no process may say is heard.
func TestListen(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a": "all is well\n", "b": "well\nlevel=WARN the store has no conditional puts: so\nwell\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	heard, err := listen(dir, unexpected)
	if err != nil || len(heard) != 1 || !strings.HasPrefix(heard[0], "b says: level=WARN") {
		t.Errorf("got %q, %v", heard, err)
	}
}

// Each store gets both layouts, unless one is asked for.
func TestPlanLayouts(t *testing.T) {
	count := map[[2]target.Layout]int{}
	for seed := range uint64(400) {
		p := newPlan(rand.New(rand.NewPCG(seed, 1)), "")
		count[[2]target.Layout{p.s3Layout, p.fileLayout}]++
		if p := newPlan(rand.New(rand.NewPCG(seed, 1)), target.LayoutLog); p.s3Layout != target.LayoutLog || p.fileLayout != target.LayoutLog {
			t.Fatalf("asked for %s, got %s and %s", target.LayoutLog, p.s3Layout, p.fileLayout)
		}
	}
	if len(count) != 4 {
		t.Errorf("of 400 plans: %v", count)
	}
	for pair, n := range count {
		if n < 60 {
			t.Errorf("of 400 plans, %d have %v", n, pair)
		}
	}
}
