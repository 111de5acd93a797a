package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

// A patient is a spool made by real programs, and what it belongs to.
type patient struct {
	t                *testing.T
	dir, spool, boot string // boot and own are paths
	own              string // the only spool
	env              []string
}

// newPatient makes a database whose commits wait in its spool, or are uploaded.
func newPatient(t *testing.T, uploaded bool, layout target.Layout) *patient {
	t.Helper()
	dir := t.TempDir()
	p := &patient{t: t, dir: dir, spool: filepath.Join(dir, "spool")}
	dead := filepath.Join(dir, "dead")
	p.env = []string{"BOULE_SPOOL=" + p.spool, "BOULE_STORE=file://" + dead + "/store?layout=" + string(layout)}
	if !uploaded {
		p.do(os.WriteFile(dead, []byte("a file where the store should be"), 0o600))
	}
	p.shell(`CREATE TABLE t(a)`, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<40) INSERT INTO t SELECT randomblob(10000) FROM n`)
	p.shell(`UPDATE t SET a=randomblob(10000) WHERE rowid IN (20, 30, 40)`)
	if !uploaded {
		p.do(os.Remove(dead)) // an empty store
	}
	p.own = p.find("spool/boule-*/#*/*")
	p.boot = filepath.Dir(filepath.Dir(p.own))
	return p
}

func (p *patient) do(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *patient) shell(sql ...string) {
	p.t.Helper()
	args := append([]string{"--log-level", "error", "shell", "--no-wait", filepath.Join(p.dir, "a.db")}, sql...)
	if len(p.env) > 0 && !isFile(filepath.Join(p.dir, "dead")) {
		args = slices.DeleteFunc(args, func(s string) bool { return s == "--no-wait" })
	}
	if status, out, errs := program(p.t, p.env, args...); status != 0 {
		p.t.Fatalf("shell: %s%s", out, errs)
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// find returns the first path of a pattern below the directory of the test.
func (p *patient) find(pattern string) string {
	p.t.Helper()
	found, err := filepath.Glob(filepath.Join(p.dir, pattern))
	p.do(err)
	if len(found) == 0 {
		p.t.Fatalf("nothing is like %s", pattern)
	}
	return found[0]
}

func (p *patient) in(name string) string { return filepath.Join(p.own, name) }

func (p *patient) only(pattern string) string {
	rel, err := filepath.Rel(p.dir, p.own)
	p.do(err)
	return p.find(rel + "/" + pattern)
}

// write puts a file in the place of another.
func (p *patient) write(path string, data []byte) {
	p.t.Helper()
	p.do(os.MkdirAll(filepath.Dir(path), 0o700))
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		p.t.Fatal(err)
	}
	p.do(os.WriteFile(path, data, 0o444))
}

func (p *patient) read(path string) []byte {
	p.t.Helper()
	data, err := os.ReadFile(path)
	p.do(err)
	return data
}

const uniqueName = "1.2.3.4.0123456789abcdef0123456789abcdef"

// Whatever is damaged by hand is found, and named.
func TestDoctorFindsDamage(t *testing.T) {
	testDoctor(t, []malady{
		{"nothing that waits", target.LayoutChunks, false, nil, func(*patient) {}},
		{"nothing that is uploaded", target.LayoutChunks, true, nil, func(*patient) {}},
		{"a file to write to", target.LayoutChunks, false, []string{"I1"}, func(p *patient) { p.do(os.Chmod(p.only("staging/meta/*"), 0o644)) }},
		{"half a manifest", target.LayoutChunks, true, []string{"I1"}, func(p *patient) {
			path := p.only("staging/meta/*")
			data := p.read(path)
			p.write(path, data[:len(data)/2])
		}},
		{"a stray file", target.LayoutChunks, true, []string{"I1"}, func(p *patient) { p.write(p.in("x"), nil) }},
		{"a damaged chunk", target.LayoutChunks, false, []string{"I2"}, func(p *patient) { p.write(p.only("ready/*/chunks/*"), []byte("garbage")) }},
		{"a damaged chunk in the store", target.LayoutChunks, true, []string{"I2"}, func(p *patient) {
			found, err := filepath.Glob(filepath.Join(p.dir, "dead/store/chunks/*"))
			p.do(err)
			for _, path := range found { // not all are needed any more
				p.write(path, []byte("garbage"))
			}
		}},
		{"a staged chunk removed", target.LayoutChunks, false, []string{"I4"}, func(p *patient) { p.do(os.Remove(p.only("staging/chunks/*"))) }},
		{"a ready chunk moved", target.LayoutChunks, false, []string{"I5"}, func(p *patient) {
			chunk := p.only("ready/*/chunks/*")
			p.do(os.Rename(chunk, p.in("staging/chunks/"+filepath.Base(chunk))))
		}},
		{"a second ready", target.LayoutChunks, false, []string{"I6"}, func(p *patient) { p.do(os.MkdirAll(p.in("ready/"+uniqueName+"/chunks"), 0o700)) }},
		{"a second consuming", target.LayoutChunks, false, []string{"I7"}, func(p *patient) {
			p.do(os.MkdirAll(p.in("consuming/"+uniqueName), 0o700))
		}},
		{"a manifest removed too early", target.LayoutChunks, false, []string{"I8"}, func(p *patient) {
			p.do(os.RemoveAll(p.in("consuming"))) // that has no chunks
			p.do(os.Rename(p.in("ready"), p.in("consuming")))
			p.do(os.Remove(p.only("consuming/*/meta/*")))
		}},
		{"a name that is not unique", target.LayoutChunks, false, []string{"I9"}, func(p *patient) { p.do(os.Rename(p.only("ready/*"), p.in("ready/x"))) }},
		{"a chunk lost by the store", target.LayoutChunks, true, []string{"I4", "I13"}, func(p *patient) {
			found, err := filepath.Glob(filepath.Join(p.dir, "dead/store/chunks/*"))
			p.do(err)
			for _, path := range found {
				p.do(os.Remove(path))
			}
		}},
		{"an old manifest in the store", target.LayoutChunks, true, []string{"I14"}, func(p *patient) {
			path := p.find("dead/store/manifests/*")
			old := p.read(path)
			p.shell(`UPDATE t SET a=randomblob(10000) WHERE rowid=20`)
			p.write(path, old)
		}},
		{"a manifest lost by the store", target.LayoutChunks, true, []string{"I15"}, func(p *patient) { p.do(os.Remove(p.find("dead/store/manifests/*"))) }},
		{"too much", target.LayoutChunks, true, []string{"I17"}, func(p *patient) { p.write(p.in("staging/scratch/x"), make([]byte, 10<<20)) }},
		{"a second directory of this boot", target.LayoutChunks, true, []string{"I18"}, func(p *patient) {
			_, uuid, _ := strings.Cut(filepath.Base(p.boot), ".")
			p.do(os.Mkdir(filepath.Join(p.spool, "boule-1."+uuid), 0o700))
		}},
		{"a database changed behind SQLite", target.LayoutChunks, true, []string{"I19"}, func(p *patient) {
			f, err := os.OpenFile(filepath.Join(p.dir, "a.db"), os.O_RDWR, 0)
			p.do(err)
			_, err = f.WriteAt([]byte("x"), 300000)
			p.do(err)
			p.do(f.Close())
		}},
		{"a fingerprint too few", target.LayoutChunks, false, []string{"I20"}, func(p *patient) {
			// The fields major, size and chunks, with two fingerprints for three chunks.
			p.write(p.only("staging/meta/*"), append([]byte{0x08, 1, 0x30, 0xff, 0xff, 0x0b, 0x7a, 32}, make([]byte, 32)...))
		}},
	})
}

// A malady is something that is wrong, and what doctor should say.
type malady struct {
	what     string
	layout   target.Layout
	uploaded bool
	want     []string
	damage   func(p *patient)
}

// So it is in a store with logs.
func TestDoctorFindsDamageInLogs(t *testing.T) {
	entries := func(p *patient) []string {
		found, err := filepath.Glob(filepath.Join(p.dir, "dead/store/manifests/log/*/*"))
		p.do(err)
		return found
	}
	forget := func(p *patient) { p.do(os.RemoveAll(filepath.Join(p.dir, "dead/store/manifests/latest"))) }
	testDoctor(t, []malady{
		{"nothing that waits", target.LayoutLog, false, nil, func(*patient) {}},
		{"nothing that is uploaded", target.LayoutLog, true, nil, func(*patient) {}},
		{"damaged data", target.LayoutLog, true, []string{"I2"}, func(p *patient) {
			path := entries(p)[1]
			data := p.read(path)
			for i := len(data) / 2; i < len(data); i += 1000 { // behind the header
				data[i] ^= 1
			}
			p.write(path, data)
		}},
		{"a damaged entry", target.LayoutLog, true, []string{"I4", "I15"}, func(p *patient) {
			forget(p)
			path := entries(p)[len(entries(p))-1]
			data := p.read(path)
			data[40] ^= 1
			p.write(path, data)
		}},
		{"lost data", target.LayoutLog, true, []string{"I4", "I15"}, func(p *patient) {
			p.shell(`UPDATE t SET a=randomblob(10000) WHERE rowid=20`) // an entry that needs those before, also for the first chunk
			all := entries(p)
			p.do(os.Remove(slices.MaxFunc(all[:len(all)-1], func(a, b string) int { return cmp.Compare(len(p.read(a)), len(p.read(b))) })))
		}},
		{"an old entry", target.LayoutLog, true, []string{"I4", "I14"}, func(p *patient) {
			before := entries(p)
			p.shell(`UPDATE t SET a=randomblob(10000) WHERE rowid=20`)
			for _, path := range entries(p)[len(before):] {
				p.do(os.Remove(path))
			}
			forget(p)
		}},
		{"a lost log", target.LayoutLog, true, []string{"I4", "I15"}, func(p *patient) { p.do(os.RemoveAll(filepath.Join(p.dir, "dead/store"))) }},
		{"a staged chunk removed", target.LayoutLog, false, []string{"I4"}, func(p *patient) { p.do(os.Remove(p.only("staging/chunks/*"))) }},
		{"a second ready", target.LayoutLog, false, []string{"I6"}, func(p *patient) { p.do(os.MkdirAll(p.in("ready/"+uniqueName+"/chunks"), 0o700)) }},
	})
}

func testDoctor(t *testing.T, maladies []malady) {
	for _, c := range maladies {
		t.Run(c.what, func(t *testing.T) {
			p := newPatient(t, c.uploaded, c.layout)
			c.damage(p)
			before := listing(t, p.dir)
			status, out, errs := program(t, p.env, "--json", "doctor", p.spool)
			if after := listing(t, p.dir); before != after {
				t.Errorf("doctor changed something:\n%s\n%s", before, after)
			}
			var rows []struct{ Kind, Invariant, Statement, Path, Detail string }
			if err := json.Unmarshal([]byte(out), &rows); err != nil || errs != "" {
				t.Fatalf("printed %q and %q: %v", out, errs, err)
			}
			var got []string
			for _, r := range rows {
				if r.Kind == "violation" && !slices.Contains(got, r.Invariant) {
					got = append(got, r.Invariant)
				}
				if r.Statement == "" || r.Path == "" || r.Detail == "" {
					t.Errorf("says nothing: %+v", r)
				}
			}
			if !slices.Equal(got, c.want) || status != min(len(c.want), 1) {
				t.Errorf("found %v, want %v; status %d; printed %s", got, c.want, status, out)
			}
			status, out, _ = program(t, p.env, "doctor")
			if status != min(len(c.want), 1) {
				t.Errorf("status %d", status)
			}
			for _, id := range c.want {
				if !strings.Contains(out, id+" violated: ") {
					t.Errorf("%s is not named in %q", id, out)
				}
			}
		})
	}
}

// listing describes all files below dir but those of locks.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintln(&b, path, info.Size(), info.Mode(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What can't be judged is said, and is no failure.
func TestDoctorSaysWhatItCannotJudge(t *testing.T) {
	p := newPatient(t, true, target.LayoutChunks)
	expect := func(what, want string, env ...string) {
		t.Helper()
		status, out, errs := program(t, append(slices.Clone(p.env), env...), "doctor", "--patience", "200ms", p.spool)
		if status != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: status %d, printed %q and %q, want %q", what, status, out, errs, want)
		}
	}
	db := filepath.Join(p.dir, "a.db")
	r, err := boule.New(config(t.TempDir(), target.DefaultLayout)) // which starts SQLite
	p.do(err)
	defer r.Close(t.Context())
	conn, err := sqlite3.OpenFlags("file:"+db, sqlite3.OPEN_READWRITE|sqlite3.OPEN_URI)
	p.do(err)
	defer conn.Close()
	p.do(conn.Exec(`BEGIN EXCLUSIVE`))
	expect("locked", "not judged: I19: "+db+": the database is busy")
	p.do(conn.Exec(`UPDATE t SET a=1 WHERE rowid=1; COMMIT`))
	expect("foreign writer", "not judged: I19: "+db+": the database has changed since its last snapshot")
	p.do(conn.Exec(`PRAGMA journal_mode=WAL`))
	expect("WAL", "not judged: I19: "+db+": the database is in WAL mode")
	p.do(os.Rename(db, db+".away"))
	expect("gone", "not judged: I19: "+db+": the database is gone")
	p.env = []string{
		"BOULE_SPOOL=" + p.spool, "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=y",
		"BOULE_STORE=s3://backup?region=us-east-1&path_style=1&endpoint=http://127.0.0.1:9",
	}
	if status, _, errs := program(t, p.env, "--log-level", "error", "shell", "--no-wait", filepath.Join(p.dir, "b.db"), `CREATE TABLE t(a)`); status != 0 {
		t.Fatal(errs)
	}
	expect("store out of reach", "not judged: I4 I5 I13 I14 I15: ")
	status, out, _ := program(t, p.env, "doctor", "--no-store", p.spool)
	if status != 0 || strings.Contains(out, "I4 I5 I13") || !strings.Contains(out, "0 requests") {
		t.Errorf("without the store: %d, %q", status, out)
	}
}

// Beside real writers and their copiers doctor never finds anything, however often it looks.
func TestDoctorBesideWriters(t *testing.T) {
	for _, layout := range []target.Layout{target.LayoutChunks, target.LayoutLog} {
		t.Run(string(layout), func(t *testing.T) {
			testDoctorBesideWriters(t, layout)
		})
	}
}

func testDoctorBesideWriters(t *testing.T, layout target.Layout) {
	r, dir, db := prepared(t, layout, "DELETE", size(t, 4))
	var writers []*exec.Cmd
	for _, mode := range []string{"DELETE", "TRUNCATE", "PERSIST"} {
		writers = append(writers, startWriter(t, layout, dir, db, mode, seconds(t, 5)))
	}
	done := make(chan error, 1)
	go func() {
		var first error
		for _, w := range writers {
			if err := w.Wait(); err != nil && first == nil {
				first = err
			}
		}
		done <- first
	}()
	env := []string{"BOULE_SPOOL=" + filepath.Join(dir, "spool"), "BOULE_STORE="}
	runs, doubts := 0, 0
	examine := func() {
		status, out, errs := program(t, env, "doctor", "--patience", "1s")
		if status != 0 || strings.Contains(out, "violated") {
			t.Errorf("run %d: status %d: %s%s", runs, status, out, errs)
		}
		runs++
		doubts += strings.Count(out, "not judged")
	}
	for finished := false; !finished && !t.Failed(); {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			finished = true
		default:
			examine()
		}
	}
	if err := r.Flush(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d runs beside 3 writers; %d times something could not be judged", runs, doubts)
	doubts = 0
	examine()
	if doubts != 0 {
		t.Errorf("something could not be judged at rest")
	}
	checkRestore(t, layout, dir, db)
	if runs < 3 {
		t.Errorf("only %d runs", runs)
	}
}
