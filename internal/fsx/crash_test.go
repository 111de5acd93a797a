//go:build linux || darwin || freebsd

package fsx_test

import (
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/boule-db/boule/internal/fsx"
)

// content describes a tree in one line.
func content(t testing.TB, fsys fsx.FS) string {
	t.Helper()
	var all []string
	for name, data := range treeOf(t, fsys) {
		if strings.HasSuffix(name, "/") {
			all = append(all, name)
		} else {
			all = append(all, name+"="+strings.TrimRight(data, "\x00"))
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// write makes a file that is not synced.
func write(t testing.TB, fsys fsx.FS, name, data string) {
	t.Helper()
	f, err := fsys.Create(name, 0o644)
	check(t, err)
	_, err = f.Write([]byte(data))
	check(t, err)
	check(t, f.Close())
}

func sync(t testing.TB, m *fsx.Mem, name string) {
	t.Helper()
	f, err := m.OpenFile(name, os.O_RDWR, 0)
	check(t, err)
	check(t, f.Sync())
	check(t, f.Close())
}

// TestPowerLoss says for each state all that may be found after a power loss.
func TestPowerLoss(t *testing.T) {
	tests := []struct {
		name string
		do   func(t *testing.T, m *fsx.Mem)
		want []string
	}{
		{"nothing", func(*testing.T, *fsx.Mem) {}, []string{""}},
		{"a new file", func(t *testing.T, m *fsx.Mem) {
			write(t, m, "f", "x")
		}, []string{"", "f=", "f=x"}},
		{"a synced file has perhaps no name", func(t *testing.T, m *fsx.Mem) {
			write(t, m, "f", "x")
			sync(t, m, "f")
		}, []string{"", "f=x"}},
		{"a synced name has perhaps no content", func(t *testing.T, m *fsx.Mem) {
			write(t, m, "f", "x")
			check(t, m.SyncDir("."))
		}, []string{"f=", "f=x"}},
		{"both synced", func(t *testing.T, m *fsx.Mem) {
			write(t, m, "f", "x")
			sync(t, m, "f")
			check(t, m.SyncDir("."))
		}, []string{"f=x"}},
		{"sync of everything", func(t *testing.T, m *fsx.Mem) {
			check(t, m.MkdirAll("a/b", 0o777))
			write(t, m, "a/b/f", "x")
			m.SyncAll()
		}, []string{"a/ a/b/ a/b/f=x"}},
		{"two writes, each on its own", func(t *testing.T, m *fsx.Mem) {
			write(t, m, "f", "--")
			m.SyncAll()
			f, _ := m.OpenFile("f", os.O_RDWR, 0)
			f.WriteAt([]byte("a"), 0)
			f.WriteAt([]byte("b"), 1)
		}, []string{"f=--", "f=-b", "f=a-", "f=ab"}},
		{"a hole", func(t *testing.T, m *fsx.Mem) {
			write(t, m, "f", "")
			m.SyncAll()
			f, _ := m.OpenFile("f", os.O_RDWR, 0)
			f.WriteAt([]byte("a"), 0)
			f.WriteAt([]byte("b"), 1)
		}, []string{"f=", "f=\x00b", "f=a", "f=ab"}},
		{"truncation", func(t *testing.T, m *fsx.Mem) {
			write(t, m, "f", "abc")
			m.SyncAll()
			f, _ := m.OpenFile("f", os.O_RDWR, 0)
			f.Truncate(1)
		}, []string{"f=a", "f=abc"}},
		{"truncation after a removal", func(t *testing.T, m *fsx.Mem) {
			write(t, m, "f", "abc")
			write(t, m, "g", "")
			m.SyncAll()
			check(t, m.Remove("g"))
			f, _ := m.OpenFile("f", os.O_RDWR, 0)
			f.Truncate(1)
		}, []string{"f=a", "f=abc", "f=abc g="}},
		{"removal", func(t *testing.T, m *fsx.Mem) {
			write(t, m, "f", "x")
			m.SyncAll()
			check(t, m.Remove("f"))
		}, []string{"", "f=x"}},
		{"synced removal", func(t *testing.T, m *fsx.Mem) {
			write(t, m, "f", "x")
			m.SyncAll()
			check(t, m.Remove("f"))
			check(t, m.SyncDir("."))
		}, []string{""}},
		{"two removals, each on its own", func(t *testing.T, m *fsx.Mem) {
			write(t, m, "f", "x")
			write(t, m, "g", "y")
			m.SyncAll()
			check(t, m.Remove("f"))
			check(t, m.Remove("g"))
		}, []string{"", "f=x", "f=x g=y", "g=y"}},
		{"rename is atomic", func(t *testing.T, m *fsx.Mem) {
			write(t, m, "f", "x")
			write(t, m, "g", "y")
			m.SyncAll()
			check(t, m.Rename("f", "g"))
		}, []string{"f=x g=y", "g=x"}},
		{"rename of what was not synced", func(t *testing.T, m *fsx.Mem) {
			write(t, m, "g", "y")
			m.SyncAll()
			write(t, m, "f", "x")
			check(t, m.Rename("f", "g"))
		}, []string{"f= g=y", "f=x g=y", "g=", "g=x", "g=y"}},
		{"one directory of a rename is enough", func(t *testing.T, m *fsx.Mem) {
			check(t, m.Mkdir("d", 0o777))
			write(t, m, "f", "x")
			m.SyncAll()
			check(t, m.Rename("f", "d/f"))
			check(t, m.SyncDir("d"))
		}, []string{"d/ d/f=x"}},
		{"the other directory", func(t *testing.T, m *fsx.Mem) {
			check(t, m.Mkdir("d", 0o777))
			write(t, m, "f", "x")
			m.SyncAll()
			check(t, m.Rename("f", "d/f"))
			check(t, m.SyncDir("."))
		}, []string{"d/ d/f=x"}},
		{"a synced directory has perhaps no name", func(t *testing.T, m *fsx.Mem) {
			check(t, m.Mkdir("d", 0o777))
			write(t, m, "d/f", "x")
			sync(t, m, "d/f")
			check(t, m.SyncDir("d"))
		}, []string{"", "d/ d/f=x"}},
		{"link and removal", func(t *testing.T, m *fsx.Mem) {
			write(t, m, "f", "x")
			m.SyncAll()
			check(t, m.Link("f", "g"))
			check(t, m.Remove("f"))
		}, []string{"", "f=x", "f=x g=x", "g=x"}},
		{"nothing durable is lost with a directory", func(t *testing.T, m *fsx.Mem) {
			write(t, m, "f", "x")
			m.SyncAll()
			check(t, m.Mkdir("d", 0o777))
			check(t, m.Rename("f", "d/f"))
		}, []string{"d/ d/f=x", "d/ f=x", "f=x"}},
		{"nor with one that goes", func(t *testing.T, m *fsx.Mem) {
			check(t, m.Mkdir("d", 0o777))
			write(t, m, "d/f", "x")
			m.SyncAll()
			check(t, m.Rename("d/f", "f"))
			check(t, m.Remove("d"))
		}, []string{"d/ d/f=x", "d/ f=x", "f=x"}},
		{"the same name again", func(t *testing.T, m *fsx.Mem) {
			write(t, m, "f", "x")
			m.SyncAll()
			check(t, m.Remove("f"))
			write(t, m, "f", "y")
			sync(t, m, "f")
		}, []string{"", "f=x", "f=y"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := fsx.NewMem(nil)
			test.do(t, m)
			before := content(t, m)
			found := map[string]bool{}
			for name, img := range m.Images(400, rand.New(rand.NewPCG(1, 2))) {
				found[content(t, img)] = true
				if img.Boot() != m.Boot()+1 {
					t.Errorf("boot %d", img.Boot())
				}
				if left := img.Unsynced(); len(left) != 0 {
					t.Errorf("image %s: %v is not durable", name, left)
				}
				// It is a whole FS.
				place(t, img, "new/f", "x")
			}
			var got []string
			for c := range found {
				got = append(got, c)
			}
			slices.Sort(got)
			if !slices.Equal(got, test.want) {
				t.Errorf("after %v\ngot  %q\nwant %q", m.Unsynced(), got, test.want)
			}
			if after := content(t, m); after != before {
				t.Errorf("making images changed %q to %q", before, after)
			}
		})
	}
}

func TestPermissionsAndPowerLoss(t *testing.T) {
	m := fsx.NewMem(nil)
	write(t, m, "f", "x")
	m.SyncAll()
	check(t, m.Chmod("f", 0o600))
	found := map[fs.FileMode]bool{}
	for _, img := range m.Images(10, rand.New(rand.NewPCG(1, 2))) {
		info, err := img.Stat("f")
		check(t, err)
		found[info.Mode] = true
	}
	if len(found) != 2 || !found[0o600] || !found[0o644] {
		t.Errorf("got %v", found)
	}
}

func TestTornWrites(t *testing.T) {
	m := fsx.NewMem(nil)
	write(t, m, "f", strings.Repeat("-", 2000))
	m.SyncAll()
	f, err := m.OpenFile("f", os.O_RDWR, 0)
	check(t, err)
	f.WriteAt([]byte(strings.Repeat("x", 1500)), 100)
	for fate, want := range map[fsx.Fate]string{
		fsx.Lost:     "----",
		fsx.Kept:     "xxxx",
		fsx.TornHead: "xx--",
		fsx.TornTail: "--xx",
		fsx.TornComb: "x-x-",
	} {
		b, err := m.CrashKeeping(func(fsx.Change) fsx.Fate { return fate }).ReadFile("f")
		check(t, err)
		arrived := ""
		for s := 0; s < 2000; s += 512 {
			sector := string(b[s:min(s+512, 2000)])
			if s == 0 {
				sector = sector[100:]
			}
			if s == 1536 {
				sector = sector[:64]
			}
			switch strings.Trim(sector, "x") {
			case "":
				arrived += "x"
			case sector:
				arrived += "-"
			default:
				arrived += "?"
			}
		}
		if arrived != want || strings.Trim(string(b[:100])+string(b[1600:]), "-") != "" {
			t.Errorf("fate %d: got %s, want %s", fate, arrived, want)
		}
	}
}

func TestKill(t *testing.T) {
	m := fsx.NewMem(nil)
	place(t, m, "d/f", "x")
	write(t, m, "g", "y")
	lock, err := m.TryLock("lock")
	check(t, err)
	defer lock.Close()
	k := m.Kill()
	if got, want := content(t, k), content(t, m); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if fmt.Sprint(k.Unsynced()) != fmt.Sprint(m.Unsynced()) {
		t.Errorf("unsynced: got %v, want %v", k.Unsynced(), m.Unsynced())
	}
	if k.Boot() != m.Boot() {
		t.Error("a killed process is no new boot")
	}
	lock2, err := k.TryLock("lock")
	check(t, err)
	check(t, lock2.Close())
	for _, name := range []string{"d", "d/f", "g"} {
		a, err := m.Stat(name)
		check(t, err)
		b, err := k.Stat(name)
		check(t, err)
		if a != b {
			t.Errorf("%s: got %+v, want %+v", name, b, a)
		}
	}
}

// TestInodesAreUsedAgain is about what makes it hard to recognize a file.
func TestInodesAreUsedAgain(t *testing.T) {
	m := fsx.NewMem(nil)
	ino := func(m *fsx.Mem, name string) uint64 {
		info, err := m.Stat(name)
		check(t, err)
		return info.Ino
	}
	write(t, m, "f", "old")
	m.SyncAll()
	first := ino(m, "f")
	held, err := m.Open("f")
	check(t, err)
	check(t, m.Remove("f"))
	write(t, m, "g", "")
	if ino(m, "g") == first {
		t.Error("the number of an open file was given away")
	}
	check(t, held.Close())
	write(t, m, "h", "")
	if ino(m, "h") != first {
		t.Error("the number of a file that has gone was not used again")
	}
	// If the removal is lost, both exist.
	img := m.CrashKeeping(func(c fsx.Change) fsx.Fate {
		if c.Op == fsx.OpRemove {
			return fsx.Lost
		}
		return fsx.Kept
	})
	if got := content(t, img); got != "f=old g= h=" || ino(img, "f") == ino(img, "h") {
		t.Errorf("got %s, f %d, h %d", got, ino(img, "f"), ino(img, "h"))
	}
}

// TestCrashAt is about a process that dies in the middle.
func TestCrashAt(t *testing.T) {
	for n := range 20 {
		m := fsx.NewMem(nil)
		place(t, m, "f", "old")
		plan := fsx.CrashAt(n)
		dead := plan.Wrap(m)
		lock, _ := dead.TryLock("lock") // call 0
		err := fsx.ReplaceIn(dead, "f", 0o644, func(w io.Writer) error {
			_, err := w.Write([]byte("new"))
			return err
		})
		if plan.Hit() == "" {
			check(t, err)
			return
		}
		wantIs(t, plan.Hit(), err, fsx.ErrCrashed)
		before := content(t, m)
		for name, op := range everyOp {
			wantIs(t, name, op(dead, "f"), fsx.ErrCrashed)
		}
		wantIs(t, "Remove", dead.Remove("f"), fsx.ErrCrashed)
		wantIs(t, "RemoveAll", dead.RemoveAll("f"), fsx.ErrCrashed)
		if after := content(t, m); after != before {
			t.Errorf("%s: %q became %q", plan.Hit(), before, after)
		}
		if lock != nil { // as the system does for the dead
			check(t, lock.Close())
		}
		l, err := m.TryLock("lock")
		check(t, err)
		check(t, l.Close())
	}
	t.Error("it never came to an end")
}
