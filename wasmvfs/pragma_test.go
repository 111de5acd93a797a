package wasmvfs_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/tracker"
	"github.com/boule-db/boule/wasmvfs"
)

func TestFlushPragma(t *testing.T) {
	var flushed []string
	result := error(nil)
	opts := &wasmvfs.Options{
		Flush:  func(path string) error { flushed = append(flushed, path); return result },
		Status: func(path string) string { return `{"path":"` + path + `"}` },
	}
	r := newRecorder()
	name, _ := recorded(t, r, opts)
	path := tempPath(t)
	c := open(t, name, path, "")
	setUp(t, c, "DELETE")
	const pragma = "PRAGMA " + wasmvfs.PragmaFlush
	for i, arg := range []string{"", "=now", "=force", "=2", "(NOW)"} {
		wantRows(t, c, pragma+arg, "1")
		if len(flushed) != i+1 || flushed[i] != path {
			t.Fatalf("%s: flushed %q", arg, flushed)
		}
	}
	wantRows(t, c, "PRAGMA BOULE_Flush_Replication_Data", "1")
	result = errors.New("no")
	wantRows(t, c, pragma, "0")
	wantRows(t, c, "PRAGMA "+wasmvfs.PragmaStatus, `{"path":"`+path+`"}`)

	flushed = nil
	for _, set := range []struct{ arg, was string }{
		{"1", "0"}, {"off", "1"}, {"yes", "0"}, {"no", "1"}, {"true", "0"}, {"FALSE", "1"}, {"0", "0"}, {"on", "0"},
	} {
		wantRows(t, c, pragma+"="+set.arg, set.was)
	}
	if len(flushed) > 0 {
		t.Errorf("flushed %q", flushed)
	}
	r.take()
	if err := c.Close(); err != nil { // a failure to flush is nobody's business
		t.Fatal(err)
	}
	if len(flushed) != 1 {
		t.Errorf("at close flushed %q, want once", flushed)
	}
	if got := r.take(); !strings.HasSuffix(got, "tracker: close\nclose db") {
		t.Errorf("close does\n%s", got)
	}

	name = register(t, wasmvfs.New(nil, nil))
	c = open(t, name, path, "")
	wantRows(t, c, pragma, "0")
	wantRows(t, c, "PRAGMA "+wasmvfs.PragmaStatus, `{"state":"untracked"}`)
	wantRows(t, c, "PRAGMA boule_no_such_thing", "")
}

func TestFlushUnderExclusiveLock(t *testing.T) {
	root, err := spool.OpenRoot(t.TempDir(), 0o700, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := tracker.New(&tracker.Options{Root: root, Hostname: hostname, Targets: targets})
	defer m.Close()
	uploads := 0
	opts := &wasmvfs.Options{
		Flush:  func(path string) error { return errors.New("the database is locked") },
		Upload: func(path string) error { uploads++; return nil },
	}
	name := register(t, wasmvfs.New(m, opts))
	c := open(t, name, tempPath(t), "")
	setUp(t, c, "DELETE")
	exec(t, c, "PRAGMA locking_mode=EXCLUSIVE; INSERT INTO t VALUES (1, 2, 3)")
	const pragma = "PRAGMA " + wasmvfs.PragmaFlush
	wantRows(t, c, pragma, "1")
	if uploads != 1 {
		t.Errorf("%d uploads, want 1", uploads)
	}
	exec(t, c, "PRAGMA cache_size=2; BEGIN; "+fmt.Sprintf(fill, 100, 300))
	wantRows(t, c, pragma, "0") // what is in the file is no state of the database
	exec(t, c, "COMMIT")
	wantRows(t, c, pragma, "1")
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	exec(t, c, "INSERT INTO t VALUES (2, 2, 3)")
	wantRows(t, c, pragma, "0")
	if uploads != 2 {
		t.Errorf("%d uploads, want 2", uploads)
	}
}
