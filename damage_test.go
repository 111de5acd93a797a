package boule_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store/target"
)

// objects are the files of a store.
func (s *site) objects(t *testing.T, i int) (files []string) {
	t.Helper()
	err := filepath.WalkDir(s.store(i), func(path string, d fs.DirEntry, err error) error {
		switch {
		case err == nil && d.IsDir() && d.Name() == "~lock":
			return fs.SkipDir
		case err == nil && d.Type().IsRegular():
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("found %q, %v", files, err)
	}
	return files
}

// file is what a file has.
func (s *site) file(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// restored is what the replica is restored to, or "" if that fails by a fault of one of these objects.
func (p *published) restored(t *testing.T, faulty ...string) string {
	t.Helper()
	remote, err := boule.Fetch(t.Context(), p.ref(), p.cfg)
	var b strings.Builder
	if err == nil {
		err = remote.RestoreTo(t.Context(), &b, nil)
	}
	named := func(object string) bool { return strings.Contains(err.Error(), filepath.Base(object)) }
	if err != nil && !slices.ContainsFunc(faulty, named) {
		t.Errorf("restore: %v; want the fault of %q", err, faulty)
	}
	if err != nil {
		return ""
	}
	return b.String()
}

// doubt puts the only spool in doubt, as a copier does that finds that something was lost.
func (p *published) doubt(t *testing.T) (undo func()) {
	t.Helper()
	root, err := spool.OpenRoot(p.cfg.SpoolDir, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	name, err := p.r.ManifestName(p.db)
	if err != nil {
		t.Fatal(err)
	}
	infos, err := root.Spools()
	if err != nil || len(infos) != 1 {
		t.Fatalf("%d spools, %v", len(infos), err)
	}
	id := infos[0].Key.Target
	tap, _, err := root.Tap(id, name)
	if err != nil {
		t.Fatal(err)
	}
	sequence, _ := copier.TapSequence(tap)
	put := func(b []byte) {
		if err := root.WriteTap(id, name, b); err != nil {
			t.Fatal(err)
		}
	}
	put(fmt.Appendf(nil, "doubt %d\n", sequence))
	return func() { put(tap) }
}

// wantFault fails the test unless it is told that this object is damaged, and nothing is read but what was written last.
func (p *published) wantFault(t *testing.T, how, object string, want string) {
	t.Helper()
	if got := p.restored(t, object); got != want && got != "" {
		t.Errorf("%s is %s: another state was restored", object, how)
	}
	cfg := p.with(func(c *boule.Config) { c.SpoolDir = p.path("other") }) // the spool knows better
	report, err := boule.Check(t.Context(), p.ref(), cfg, &boule.CheckOptions{Percent: 100})
	if err != nil {
		t.Fatal(err)
	}
	named := func(f boule.ReplicaFault) bool { return strings.Contains(f.Object+f.Detail, filepath.Base(object)) }
	if !slices.ContainsFunc(report.Faults, named) {
		t.Errorf("%s is %s, but the faults are %q", object, how, report.Faults)
	}
}

// While the writer runs, and also if it never ends in good order, nobody takes what is damaged or lost for sound, not even the newest entry: once a
// commit was flushed, or some seconds passed without others.
func TestEveryObjectBesideItsWriter(t *testing.T) {
	for _, how := range []string{"flushed", "left alone"} {
		t.Run(how, func(t *testing.T) {
			p := publishTo(t, 1, target.LayoutLog)
			for x := range 4 {
				p.set(t, x)
			}
			if how == "left alone" {
				if err := p.conn.Exec(`UPDATE t SET x = 4`); err != nil {
					t.Fatal(err)
				}
				newest := p.file(t, p.db)
				eventually(t, "the copy is that of the newest entry, for some seconds", func() bool {
					entries, err := filepath.Glob(filepath.Join(p.store(0), "manifests", "log", "*", "*"))
					if err != nil || len(entries) == 0 {
						t.Fatalf("found %q, %v", entries, err)
					}
					latest, err := filepath.Glob(filepath.Join(p.store(0), "manifests", "latest", "*"))
					if err != nil || len(latest) != 1 {
						t.Fatalf("found %q, %v", latest, err)
					}
					info, err := os.Stat(latest[0])
					if err != nil {
						t.Fatal(err)
					}
					// By then a snapshot that came late would have been uploaded, too.
					return time.Since(info.ModTime()) > 3*time.Second && p.restored(t) == newest && strings.HasPrefix(p.file(t, slices.Max(entries)), p.file(t, latest[0]))
				})
			}
			want := p.file(t, p.db)
			if got := p.restored(t); got != want {
				t.Fatal("the replica is another state")
			}
			all := p.objects(t, 0)
			for i, object := range all {
				whole := p.file(t, object)
				damaged := map[string]string{
					"cut": whole[:len(whole)/2], "flipped": whole[:len(whole)/3] + string(whole[len(whole)/3]^4) + whole[len(whole)/3+1:],
					"another": p.file(t, all[(i+1)%len(all)]),
				}
				for how, body := range damaged {
					if err := os.WriteFile(object, []byte(body), 0o600); err != nil {
						t.Fatal(err)
					}
					p.wantFault(t, how, object, want)
				}
				if err := os.Remove(object); err != nil {
					t.Fatal(err)
				}
				p.wantFault(t, "gone", object, want)
				if err := os.WriteFile(object, []byte(whole), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := p.restored(t); got != want {
				t.Error("the replica is another state in the end")
			}
		})
	}
}
