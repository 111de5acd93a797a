package doctor_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/doctor"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

// A target is the stores of a scene, as they are asked from outside.
type target struct {
	*scene
	chunks, manifests *storefault.Store
}

// uploaded returns a scene in which a snapshot with a stored index block was uploaded, and of which the
// spool has nothing but the manifest any more.
func uploaded(t *testing.T, chunks int) (*target, *manifest.Manifest) {
	t.Helper()
	s := newScene(t, nil)
	data := content(chunks, 1)
	m, block := s.stageFolded(data)
	x := &target{s, storefault.New(mem.New(), nil), storefault.New(mem.New(), nil)}
	put := func(st store.Store, key string, data []byte) {
		t.Helper()
		_, err := st.Put(t.Context(), key, manifest.Compress(data), store.Condition{})
		check(t, err)
	}
	for i, f := range m.Chunks {
		if i > 0 {
			put(x.chunks, f.ChunkName(), part(data, i))
		}
	}
	put(x.chunks, manifest.Sum(block).ChunkName(), block)
	put(x.manifests, name, s.read(s.spool+"/staging/meta/"+name))
	check(t, s.fsys.RemoveAll(s.spool+"/staging/chunks"))
	check(t, s.fsys.RemoveAll(s.spool+"/staging/index"))
	x.chunks.SetPlan(nil)
	return x, m
}

func (x *target) examine(requests int) *doctor.Report {
	x.Helper()
	r, err := doctor.Examine(x.Context(), x.prefix, &doctor.ExamineOptions{
		Open: func(context.Context, json.RawMessage) (store.Store, store.Store, error) {
			return x.chunks, x.manifests, nil
		},
		Requests: requests, Patience: time.Second,
	})
	check(x, err)
	return r
}

// The chunks of a stored index block are looked for, too.
func TestExamineFetchesIndexBlocks(t *testing.T) {
	for _, c := range []struct {
		what  string
		spoil func(x *target, m *manifest.Manifest)
		want  []string // invariants
	}{
		{"all is well", func(*target, *manifest.Manifest) {}, nil},
		{"a chunk is gone", func(x *target, m *manifest.Manifest) {
			check(x, x.chunks.Delete(x.Context(), m.Chunks[1].ChunkName()))
		}, []string{"I13", "I4"}},
		{"the index block is gone", func(x *target, m *manifest.Manifest) {
			check(x, x.chunks.Delete(x.Context(), m.Blocks[0].Stored.ChunkName()))
		}, []string{"I13", "I4"}},
		{"the index block is damaged", func(x *target, m *manifest.Manifest) {
			_, err := x.chunks.Put(x.Context(), m.Blocks[0].Stored.ChunkName(), []byte("x"), store.Condition{})
			check(x, err)
		}, []string{"I2"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			x, m := uploaded(t, 5)
			c.spoil(x, m)
			r := x.examine(0)
			var got []string
			for _, v := range r.Violations {
				got = append(got, v.Invariant)
			}
			slices.Sort(got)
			if got = slices.Compact(got); !slices.Equal(got, c.want) {
				t.Errorf("found %v", r.Violations)
			}
			for _, n := range r.NotJudged {
				if slices.Contains(n.Invariants, "I4") {
					t.Errorf("not judged: %+v", n)
				}
			}
			n := 0
			for _, call := range x.chunks.Calls() {
				if call.Key == m.Blocks[0].Stored.ChunkName() && call.Verb == store.VerbGet {
					n++
				}
			}
			if len(c.want) == 0 && n != 1 {
				t.Errorf("the index block was asked for %d times", n)
			}
		})
	}
}

// Without enough requests, that is said, and nothing is taken for a fault.
func TestExamineWithoutIndexBlocks(t *testing.T) {
	x, _ := uploaded(t, 5)
	for _, requests := range []int{-1, 1, 3} {
		r := x.examine(requests)
		if len(r.Violations) > 0 {
			t.Errorf("%d requests: found %v", requests, r.Violations)
		}
		if !slices.ContainsFunc(r.NotJudged, func(n doctor.NotJudged) bool {
			return slices.Contains(n.Invariants, "I4") && strings.Contains(n.Reason, "did not suffice") &&
				(requests > 0 || strings.Contains(n.Reason, "index blocks"))
		}) {
			t.Errorf("%d requests: not judged: %+v", requests, r.NotJudged)
		}
	}
	// The spool alone says nothing of chunks that it does not have.
	r, err := doctor.Examine(t.Context(), x.prefix, nil)
	check(t, err)
	if len(r.Violations) > 0 {
		t.Errorf("found %v", r.Violations)
	}
}

// A database is compared with what its stored index block says (I19), and is not if that can't be read.
func TestExamineComparesByIndexBlock(t *testing.T) {
	for _, how := range []string{"same", "other", "no block", "no list"} {
		t.Run(how, func(t *testing.T) {
			s := newScene(t, nil)
			file := filepath.Join(t.TempDir(), "app.db")
			data := content(5, 1)
			check(t, os.WriteFile(file, data, 0o600))
			info, err := fsx.Lstat(file)
			check(t, err)
			root, err := spool.OpenRoot(s.prefix, 0, nil)
			check(t, err)
			defer root.Close()
			db := spool.DB{Path: file, Dev: info.Dev, Ino: info.Ino}
			if s.prod, err = root.Producer(db, spool.Target{ID: targetID, Spec: json.RawMessage(`{}`)}); err != nil {
				t.Fatal(err)
			}
			defer s.prod.Close()
			s.spool = s.boot + "/" + s.prod.Key().String()
			m, block := s.stageFolded(data)
			path := s.index(block)
			check(t, s.fsys.Remove(s.chunkFile(manifest.Sum(block))))
			reason := ""
			switch how {
			case "other":
				check(t, os.WriteFile(file, append(data[:2*cs:2*cs], content(5, 2)[2*cs:]...), 0o600))
			case "no block":
				check(t, s.fsys.Remove(path))
				reason = "index block"
			case "no list":
				s.write(path, block[1:])
				reason = "index block"
			}
			r, err := doctor.Examine(t.Context(), s.prefix, &doctor.ExamineOptions{
				VersionID: func(*os.File, manifest.Fingerprint) []byte { return m.VersionID },
				Patience:  200 * time.Millisecond,
			})
			check(t, err)
			var found []string
			for _, v := range r.Violations {
				if v.Invariant == "I19" {
					found = append(found, v.Detail)
				}
			}
			if (len(found) > 0) != (how == "other") {
				t.Errorf("found %v", r.Violations)
			}
			judged := true
			for _, n := range r.NotJudged {
				if slices.Contains(n.Invariants, "I19") && n.Path == file {
					judged = false
					if reason == "" || !strings.Contains(n.Reason, reason) {
						t.Errorf("not judged: %s", n.Reason)
					}
				}
			}
			if judged != (reason == "") {
				t.Errorf("judged is %v; %+v", judged, r)
			}
		})
	}
}
