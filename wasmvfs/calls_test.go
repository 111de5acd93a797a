//go:build unix

package wasmvfs_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/tracker"
	"github.com/boule-db/boule/wasmvfs"
)

// TestOneCallUnderneath: a read or write of a file is one of the file below, and
// nothing besides.
func TestOneCallUnderneath(t *testing.T) {
	for _, tracks := range []bool{false, true} {
		y, name := tallied(t, tracks)
		c := open(t, name, tempPath(t), "")
		setUp(t, c, "DELETE")
		f := fileOf(t, c)
		page := make([]byte, 4096)
		for call, do := range map[string]func() error{
			"read 4096 db":           func() error { return second(f.ReadAt(page, 0)) },
			"write 4096 db":          func() error { return second(f.WriteAt(page, 0)) },
			"size db":                func() error { _, err := f.Size(); return err },
			"sync db":                func() error { return f.Sync(vfs.SYNC_NORMAL) },
			"lock 1 db":              func() error { return f.Lock(vfs.LOCK_SHARED) },
			"check reserved lock db": func() error { _, err := f.CheckReservedLock(); return err },
			"has moved db":           func() error { _, err := f.(vfs.FileHasMoved).HasMoved(); return err },
		} {
			y.take()
			if err := do(); err != nil {
				t.Fatalf("%s: %v", call, err)
			}
			if got := y.take(); len(got) != 1 || got[call] != 1 {
				t.Errorf("tracked %v: %q makes the calls %v", tracks, call, got)
			}
		}
	}
}

// tallied registers a VFS above a tally, with a tracker that wants a snapshot after
// each change, or none.
func tallied(t testing.TB, tracks bool) (*tally, string) {
	y := newTally()
	seams := wasmvfs.Seams{Inner: y, System: y}
	if tracks {
		seams.Track = func(_ string, f tracker.File, _ tracker.Mode) wasmvfs.Tracked {
			return &recordedTracker{r: newRecorder(), file: f}
		}
	}
	return y, register(t, wasmvfs.NewWith(nil, nil, seams))
}

// What differs between the calls of a statement that reach the os VFS, and those that
// reach it, and the system beside it, through ours.
var (
	// A new journal gets the permissions of its database, and is no journal after
	// a power cut unless its directory is synced. (Of the os VFS Sync is one call here,
	// but two system calls for a new journal, of which the second does nothing.)
	madeJournal = []string{"+1 permissions of db", "+1 sync directory"}
	// The empty journal of the transaction before is none, so that nobody looks
	// whether it is hot.
	noEmptyJournal = []string{
		"-1 check reserved lock db", "-1 close journal", "-1 open journal", "-1 read 1 journal", "-1 size db",
	}
)

// TestSameCallsUnderneath compares the calls that statements make of the os VFS with
// those that they make through ours, with and without a tracker.
func TestSameCallsUnderneath(t *testing.T) {
	tests := []struct {
		mode           string
		reading, write []string // the differences
	}{
		{"DELETE", nil, madeJournal},
		{"TRUNCATE", noEmptyJournal, slices.Concat(noEmptyJournal, madeJournal)},
		{"PERSIST", nil, madeJournal},
		{"MEMORY", nil, nil},
		{"OFF", nil, nil},
		{"WAL", nil, nil},
	}
	for _, test := range tests {
		if test.mode == "WAL" && !vfs.SupportsSharedMemory {
			continue
		}
		for what, want := range map[string][]string{"point select": test.reading, "scan": test.reading, "small write": test.write} {
			t.Run(test.mode+"/"+what, func(t *testing.T) {
				slices.SortFunc(want, byCall)
				y := newTally()
				plain := callsOf(t, y, register(t, y), test.mode, what)
				if test.mode != "WAL" && len(plain) < 5 {
					t.Errorf("on the os VFS it makes the calls %v only", plain)
				}
				for _, tracks := range []bool{false, true} {
					y, name := tallied(t, tracks)
					if got := diff(plain, callsOf(t, y, name, test.mode, what)); !slices.Equal(got, want) {
						t.Errorf("tracked %v: the calls differ by\n%s\nwant\n%s", tracks, strings.Join(got, "\n"), strings.Join(want, "\n"))
					}
				}
			})
		}
	}
}

// statements is how often callsOf has the statement run.
const statements = 4

// callsOf counts the calls of a statement.
func callsOf(t *testing.T, y *tally, name, mode, what string) map[string]int {
	c := open(t, name, tempPath(t), "")
	setUp(t, c, mode)
	exec(t, c, "INSERT INTO t SELECT value, hex(zeroblob(value % 700)), 0 FROM generate_series(1, 500)")
	exec(t, c, "PRAGMA cache_size=10; UPDATE t SET c = c + 1")
	y.take()
	for i := range statements {
		switch what {
		case "point select":
			query(t, c, fmt.Sprintf("SELECT c FROM t WHERE a = %d", 100*i+1))
		case "scan":
			query(t, c, "SELECT sum(length(b)) FROM t")
		case "small write":
			exec(t, c, "UPDATE t SET c = c + 1 WHERE a = 7")
		}
	}
	return y.take()
}

// diff lists the calls that a statement makes more or less often, with how often.
func diff(plain, ours map[string]int) []string {
	all := maps.Clone(plain)
	maps.Copy(all, ours)
	var out []string
	for call := range all {
		if n := ours[call] - plain[call]; n%statements != 0 {
			out = append(out, fmt.Sprintf("%+d/%d %s", n, statements, call))
		} else if n != 0 {
			out = append(out, fmt.Sprintf("%+d %s", n/statements, call))
		}
	}
	slices.SortFunc(out, byCall)
	return out
}

// byCall orders lines of a diff by the call.
func byCall(a, b string) int {
	_, a, _ = strings.Cut(a, " ")
	_, b, _ = strings.Cut(b, " ")
	return strings.Compare(a, b)
}
