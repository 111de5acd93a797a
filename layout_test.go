package boule_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

// Readers that are not told the layout find a replica in either, and writers of both may share a store.
func TestLayoutIsFound(t *testing.T) {
	s := newSite(t, 1)
	var paths [2]string
	for i, layout := range []target.Layout{target.LayoutChunks, target.LayoutLog} {
		paths[i] = s.path(string(layout) + ".db")
		cfg := s.with(func(c *boule.Config) { c.Targets[0].Layout = layout })
		db := open(t, paths[i], cfg)
		execSQL(t, db, createAndFill)
		closeDB(t, db)
	}
	for i, layout := range []target.Layout{target.LayoutChunks, target.LayoutLog} {
		for _, asked := range []target.Layout{"", target.LayoutChunks, target.LayoutLog} {
			cfg := s.with(func(c *boule.Config) { c.Targets[0].Layout = asked })
			remote, err := boule.Fetch(t.Context(), s.ref(paths[i]), cfg)
			if found := err == nil; found != (asked == "" || asked == layout) {
				t.Errorf("replica in %s, layout %q: got %v", layout, asked, err)
			} else if found && (remote.Entry != 0) != (layout == target.LayoutLog) {
				t.Errorf("replica in %s: got entry %d", layout, remote.Entry)
			}
		}
		out := s.path("out.db")
		if _, err := boule.Restore(t.Context(), s.ref(paths[i]), out, s.with(func(c *boule.Config) { c.Targets[0].Layout = "" }), &boule.RestoreOptions{Overwrite: true}); err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(paths[i])
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(out); err != nil || string(got) != string(want) {
			t.Errorf("restored from %s: not the same (%v)", layout, err)
		}
	}
}

// Where a replica was left in one layout, when the configuration changed to the other, readers that are told none get the newer.
func TestNewerLayoutIsRead(t *testing.T) {
	s := newSite(t, 1)
	path := s.path("a.db")
	in := func(layout target.Layout) *boule.Config {
		return s.with(func(c *boule.Config) { c.Targets[0].Layout = layout })
	}
	for i, layout := range []target.Layout{target.LayoutChunks, target.LayoutLog, target.LayoutChunks, ""} {
		db := open(t, path, in(layout))
		if i == 0 {
			execSQL(t, db, createAndFill)
		}
		execSQL(t, db, fmt.Sprintf(`UPDATE t SET x = %d`, i))
		closeDB(t, db)
		if got := inReplica(t, s.ref(path), in(""), `SELECT x FROM t`); got != strconv.Itoa(i) {
			t.Errorf("%d, written as %q: got %s", i, layout, got)
		}
	}
	points, err := boule.History(t.Context(), s.ref(path), in(""))
	if err != nil || len(points) < 2 {
		t.Errorf("history: got %v, %v", points, err)
	}
	usage, err := boule.Usage(t.Context(), s.ref(path), in(""))
	if err != nil || len(usage) != 2 || usage[0].Layout == usage[1].Layout {
		t.Errorf("usage: got %v, %v; want both layouts", usage, err)
	}
	report, err := boule.Check(t.Context(), s.ref(path), in(""), nil)
	if err != nil || len(report.Faults) > 0 || report.Stores != 2 {
		t.Errorf("check: got %+v, %v; want both layouts", report, err)
	}
}

// In the middle of a long run of commits, nothing in the store tells that the newest entry is gone; the spool does.
func TestCheckOfLostNewest(t *testing.T) {
	p := publishTo(t, 1, target.LayoutLog)
	for x := range 12 { // more than have a copy made at once
		p.set(t, x)
	}
	points, err := boule.History(t.Context(), p.ref(), p.cfg)
	if err != nil {
		t.Fatal(err)
	}
	newest := fmt.Sprintf("%016x", points[len(points)-1].Entry)
	found, err := filepath.Glob(filepath.Join(p.store(0), "manifests", "log", "*", newest))
	if err != nil || len(found) != 1 {
		t.Fatalf("found %q, %v", found, err)
	}
	faults := func(cfg *boule.Config) (objects []string) {
		t.Helper()
		report, err := boule.Check(t.Context(), p.ref(), cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range report.Faults {
			objects = append(objects, filepath.Base(f.Object))
		}
		return objects
	}
	if got := faults(p.cfg); len(got) > 0 {
		t.Errorf("before: faults in %q", got)
	}
	if err := os.Remove(found[0]); err != nil {
		t.Fatal(err)
	}
	if got := faults(p.cfg); !slices.Equal(got, []string{newest}) {
		t.Errorf("without the newest entry: faults in %q", got)
	}
	_, err = boule.Fetch(t.Context(), p.ref(), p.cfg)
	if !errors.Is(err, boule.ErrLost) || !strings.Contains(err.Error(), newest) {
		t.Errorf("fetch: %v, want %v that names %s", err, boule.ErrLost, newest)
	}
	if db, err := boule.OpenReplica(t.Context(), p.ref(), p.cfg); !errors.Is(err, boule.ErrLost) {
		t.Errorf("open: %v, %v, want %v", db, err, boule.ErrLost)
	}
	// Also when it was noticed, and could not be uploaded again yet.
	undo := p.doubt(t)
	if _, err := boule.Fetch(t.Context(), p.ref(), p.cfg); !errors.Is(err, boule.ErrLost) {
		t.Errorf("fetch in doubt: %v, want %v", err, boule.ErrLost)
	}
	undo()
	before := points[len(points)-2].Entry
	if r, err := boule.FetchEntry(t.Context(), p.ref(), before, p.cfg); err != nil || r.Entry != before {
		t.Errorf("the entry before: %+v, %v", r, err)
	}
	other := p.with(func(c *boule.Config) { c.SpoolDir = p.path("other") })
	if got := faults(other); len(got) > 0 {
		t.Errorf("by another spool, which does not know better: faults in %q", got)
	}
	if r, err := boule.Fetch(t.Context(), p.ref(), other); err != nil || r.Entry != before {
		t.Errorf("by another spool: %+v, %v", r, err)
	}
	if err := p.r.Flush(t.Context(), p.db); err != nil {
		t.Errorf("flush: %v", err)
	}
	if got := faults(p.cfg); len(got) > 0 {
		t.Errorf("flushed: faults in %q", got)
	}
	if got, want := p.restored(t), p.file(t, p.db); got != want {
		t.Error("flushed: another state was restored")
	}
}

// A replica in a log keeps its states, and belongs to one spool until another takes it over.
func TestHistoryAndTakeover(t *testing.T) {
	s := newSiteOf(t, 1, target.LayoutLog)
	path := s.path("a.db")
	r := newReplicator(t, s.cfg)
	db, err := r.OpenDB(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	execSQL(t, db, createAndFill)
	for _, x := range []string{"2", "3"} {
		if err := r.Flush(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		execSQL(t, db, `UPDATE t SET x = `+x)
	}
	closeDB(t, db)
	if err := r.Flush(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	points, err := boule.History(t.Context(), s.ref(path), s.cfg)
	if err != nil || len(points) < 3 {
		t.Fatalf("got %v, %v; want three states at least", points, err)
	}
	var values []string
	for _, p := range points {
		remote, err := boule.FetchEntry(t.Context(), s.ref(path), p.Entry, s.cfg)
		if err != nil {
			t.Fatal(err)
		}
		at, err := boule.FetchAt(t.Context(), s.ref(path), p.Time, s.cfg)
		if err != nil || at.Entry != p.Entry {
			t.Errorf("at %v: got %v, %v; want entry %d", p.Time, at, err, p.Entry)
		}
		out := s.path("out.db")
		if err := remote.RestoreFile(t.Context(), out, &boule.RestoreOptions{Overwrite: true}); err != nil {
			t.Fatal(err)
		}
		values = append(values, inFile(t, out))
	}
	values = slices.DeleteFunc(slices.Compact(values), func(v string) bool { return v == "" })
	if !slices.Equal(values, []string{"1", "2", "3"}) {
		t.Errorf("the entries have %v", values)
	}

	// Another database, in another spool.
	if err := os.Rename(path, path+".first"); err != nil {
		t.Fatal(err)
	}
	second := newReplicator(t, s.with(func(c *boule.Config) { c.SpoolDir = s.path("spool2") }))
	other, err := second.OpenDB(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	execSQL(t, other, createAndFill+`; UPDATE t SET x = 7`)
	closeDB(t, other)
	if err := second.Flush(t.Context(), path); err == nil {
		t.Error("a second writer under the name was not refused")
	}
	if got := inReplica(t, s.ref(path), s.cfg, `SELECT x FROM t`); got != "3" {
		t.Errorf("after it was refused: got %s", got)
	}
	if err := second.Takeover(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if got := inReplica(t, s.ref(path), s.cfg, `SELECT x FROM t`); got != "7" {
		t.Errorf("after it took over: got %s", got)
	}
	if err := second.Flush(t.Context(), path); err != nil {
		t.Error(err)
	}
	if points, err = boule.History(t.Context(), s.ref(path), s.cfg); err != nil || len(points) < 4 {
		t.Errorf("got %v, %v; want the states of before too", points, err)
	}
}

// A takeover concerns the targets with logs, and goes to the others as a flush does.
func TestTakeoverOfBothLayouts(t *testing.T) {
	s := newSiteOf(t, 2, target.LayoutLog)
	s.cfg.Targets[1].Layout = target.LayoutChunks
	path := s.path("a.db")
	db := open(t, path, s.cfg)
	execSQL(t, db, createAndFill)
	closeDB(t, db)
	if err := newReplicator(t, s.cfg).Takeover(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if got := inReplica(t, s.ref(path), s.only(i), `SELECT x FROM t`); got != "1" {
			t.Errorf("store %d: got %s", i, got)
		}
	}
	if err := newReplicator(t, s.only(1)).Takeover(t.Context(), path); !errors.Is(err, boule.ErrNoHistory) {
		t.Errorf("without a log: got %v", err)
	}
}

// inFile is x in a file that nothing replicates.
func inFile(t *testing.T, path string) string {
	t.Helper()
	conn, err := sqlite3.Open("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stmt, _, err := conn.Prepare(`SELECT x FROM t`)
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	if !stmt.Step() {
		if err := stmt.Err(); err != nil {
			t.Fatal(err)
		}
		return "" // the table was made just then
	}
	return stmt.ColumnText(0)
}
