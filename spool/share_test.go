//go:build unix

package spool_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/boule-db/boule/conformance/spooltest"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/spool"
)

// anotherGroup returns a group that new files do not have by themselves, if there is one that they can
// be given to.
func anotherGroup(t *testing.T) int {
	t.Helper()
	if os.Geteuid() == 0 {
		return 4242
	}
	groups, err := os.Getgroups()
	check(t, err)
	for _, g := range groups {
		if g != os.Getegid() {
			return g
		}
	}
	return os.Getegid()
}

// Whatever the umask, everything below the prefix has the group and the group permissions of the
// prefix, and others have none.
func TestEverythingFollowsThePrefix(t *testing.T) {
	for _, c := range []struct {
		perm, existing        fs.FileMode // configured; of a prefix that is there already
		prefix, dir, file, lk fs.FileMode
	}{
		{perm: 0, prefix: 0o700, dir: 0o700, file: 0o400, lk: 0o600},
		{perm: 0o007, prefix: 0o700, dir: 0o700, file: 0o400, lk: 0o600},
		{perm: 0o750, prefix: 0o750, dir: 0o750, file: 0o440, lk: 0o640},
		{perm: 0o770, prefix: 0o770, dir: 0o770, file: 0o440, lk: 0o660},
		{perm: 0o777, prefix: 0o770, dir: 0o770, file: 0o440, lk: 0o660},
		{perm: 0o777, existing: 0o700, prefix: 0o700, dir: 0o700, file: 0o400, lk: 0o600},
		{perm: 0, existing: 0o775, prefix: 0o775, dir: 0o770, file: 0o440, lk: 0o660},
		{perm: 0, existing: 0o755 | fs.ModeSetgid, prefix: 0o755, dir: 0o750, file: 0o440, lk: 0o640},
	} {
		for _, umask := range []int{0, 0o022, 0o077} {
			t.Run(fmt.Sprintf("perm=%v existing=%v umask=%#o", c.perm, c.existing, umask), func(t *testing.T) {
				prefix := filepath.Join(t.TempDir(), "parent", "spool")
				gid := os.Getegid()
				if c.existing != 0 {
					gid = anotherGroup(t)
					check(t, os.MkdirAll(prefix, 0o700))
					check(t, os.Chown(prefix, -1, gid))
					check(t, os.Chmod(prefix, c.existing))
				}
				defer syscall.Umask(syscall.Umask(umask))
				r, err := spool.OpenRoot(prefix, c.perm, nil)
				check(t, err)
				p := producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
				check(t, snapshot(t, p, content(3, 1), 1))
				check(t, r.WriteTap(target.ID, name, nil))
				con := consumer(t, r, p.Key())
				unlock, err := con.LockMeta(t.Context())
				check(t, err)
				unlock()
				if info := stat(t, prefix); info.Mode.Perm() != c.prefix {
					t.Errorf("prefix has mode %v, want %v", info.Mode, c.prefix)
				}
				if info := stat(t, filepath.Dir(prefix)); info.Mode&0o007 != 0 {
					t.Errorf("its parent has mode %v", info.Mode)
				}
				names := tree(t, prefix)
				if len(names) < 15 {
					t.Errorf("only %d files", len(names))
				}
				for _, name := range names {
					info := stat(t, filepath.Join(prefix, name))
					want := c.file
					switch {
					case info.IsDir():
						want = c.dir
					case strings.HasSuffix(name, "_lock"):
						want = c.lk
					}
					if info.Mode.Perm() != want || want&0o070 != 0 && int(info.Gid) != gid {
						t.Errorf("%s has mode %v and group %d, want %v and %d", name, info.Mode, info.Gid, want, gid)
					}
				}
			})
		}
	}
}

func stat(t *testing.T, path string) fsx.Info {
	t.Helper()
	info, err := fsx.Lstat(path)
	check(t, err)
	return info
}

// A liar is an FS that tells others the owner and group that it is told to.
type liar struct {
	fsx.FS
	lie func(name string, info *fsx.Info)
	at  string
}

func (l *liar) Stat(name string) (fsx.Info, error) {
	info, err := l.FS.Stat(name)
	if err == nil {
		l.lie(filepath.Join(l.at, name), &info)
	}
	return info, err
}

func (l *liar) Sub(name string) (fsx.FS, error) {
	sub, err := l.FS.Sub(name)
	if err != nil {
		return nil, err
	}
	return &liar{sub, l.lie, filepath.Join(l.at, name)}, nil
}

// Where somebody else could plant data, or say where to upload it, nothing is staged and nothing
// uploaded, and the reason is told.
func TestUnsafeSpoolIsRefused(t *testing.T) {
	const stranger, foreignGroup = 54321, 54322
	db := spool.DB{Path: "/db", Dev: 1, Ino: 2}
	key := spool.KeyOf(db, target.ID)
	for what, c := range map[string]struct {
		unsafe                  func(rel string, boot string, info *fsx.Info)
		check, produce, consume bool // are refused
	}{
		"private": {func(string, string, *fsx.Info) {}, false, false, false},
		"world-writable prefix": {func(rel, _ string, i *fsx.Info) {
			if rel == "." {
				i.Mode |= 0o002
			}
		}, true, true, true},
		"world-writable prefix of root, sticky": {func(rel, _ string, i *fsx.Info) {
			if rel == "." {
				i.Mode |= 0o002 | fs.ModeSticky
				i.Uid++ // not ours, whoever that is
			}
		}, true, true, true},
		"world-writable prefix of ours, sticky": {func(rel, _ string, i *fsx.Info) {
			if rel == "." {
				i.Mode |= 0o002 | fs.ModeSticky
			}
		}, false, false, false},
		"prefix of a stranger": {func(rel, _ string, i *fsx.Info) {
			if rel == "." {
				i.Uid = stranger
			}
		}, true, true, true},
		"prefix of a stranger, shared with another group": {func(rel, _ string, i *fsx.Info) {
			if rel == "." {
				i.Uid, i.Gid, i.Mode = stranger, foreignGroup, i.Mode|0o070
			}
		}, true, true, true},
		"prefix of a stranger, shared with our group": {func(rel, _ string, i *fsx.Info) {
			if i.Mode |= 0o070; rel == "." {
				i.Uid = stranger
			}
		}, false, false, false},
		"prefix of root": {func(rel, _ string, i *fsx.Info) {
			if rel == "." {
				i.Uid = 0
			}
		}, false, false, false},
		"world-writable boot": {func(rel, boot string, i *fsx.Info) {
			if rel == boot {
				i.Mode |= 0o002
			}
		}, true, true, true},
		"boot of a stranger": {func(rel, boot string, i *fsx.Info) {
			if rel == boot {
				i.Uid = stranger
			}
		}, true, true, true},
		"boot of a stranger, shared with another group": {func(rel, boot string, i *fsx.Info) {
			if rel == boot {
				i.Uid, i.Gid, i.Mode = stranger, foreignGroup, i.Mode|0o070
			}
		}, true, true, true},
		"boot of a stranger, in a shared prefix": {func(rel, boot string, i *fsx.Info) {
			if i.Mode |= 0o070; rel == boot {
				i.Uid = stranger
			}
		}, false, false, false},
		"world-writable spool": {func(rel, boot string, i *fsx.Info) {
			if rel == boot+"/"+key.String() {
				i.Mode |= 0o002
			}
		}, false, true, true},
		"spool of a stranger": {func(rel, boot string, i *fsx.Info) {
			if rel == boot+"/"+key.String() {
				i.Uid = stranger
			}
		}, false, true, true},
	} {
		t.Run(what, func(t *testing.T) {
			good := openRoot(t, filepath.Join(t.TempDir(), "spool"), nil)
			producer(t, good, db)
			r := openRoot(t, filepath.Dir(good.Dir()), &spool.Options{WrapFS: func(base fsx.FS) fsx.FS {
				return &liar{base, func(rel string, info *fsx.Info) {
					c.unsafe(rel, filepath.Base(good.Dir()), info)
				}, "."}
			}})
			wantUnsafe := func(step string, err error, refused bool) {
				t.Helper()
				if refused != errors.Is(err, spool.ErrUnsafe) || !refused && err != nil {
					t.Errorf("%s: %v, want it refused: %v", step, err, refused)
				}
			}
			wantUnsafe("check", r.Check(), c.check)
			p, err := r.Producer(db, target)
			wantUnsafe("produce", err, c.produce)
			if err == nil {
				p.Close()
			}
			con, err := r.Consumer(key)
			wantUnsafe("consume", err, c.consume)
			if err == nil {
				con.Close()
			}
			wantUnsafe("tap", r.WriteTap(target.ID, name, nil), c.check)
		})
	}
}

// Where the system lets nobody link files of other users, what they staged is published as a copy,
// and the staged manifest is no longer the file that it was.
func TestPublishWithoutTheRightToLink(t *testing.T) {
	forbidden := 0
	r := openRoot(t, filepath.Join(t.TempDir(), "spool"), &spool.Options{WrapFS: func(base fsx.FS) fsx.FS {
		return fsx.Faulty(base, func(op fsx.Op, name string) error {
			if op == fsx.OpLink && strings.Contains(name, "/scratch/") {
				forbidden++
				return &fs.PathError{Op: "link", Path: name, Err: syscall.EPERM}
			}
			return nil
		})
	}})
	p := producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
	db := content(3, 1)
	m, data := describe(t, db, 1)
	for i, f := range m.Chunks[1:] {
		check(t, p.StageChunk(f, db[(i+1)*len(db)/3:(i+2)*len(db)/3]))
	}
	check(t, p.StageManifest(name, data))
	con := consumer(t, r, p.Key())
	staged, err := con.StagedManifests()
	check(t, err)
	defer staged[0].Close()
	published, err := p.PublishReady(name, all(m))
	if err != nil || !published {
		t.Fatalf("published %v: %v", published, err)
	}
	if same, err := con.Unchanged(staged[0]); err != nil || same {
		t.Errorf("the staged manifest is unchanged: %v, %v", same, err)
	}
	if forbidden < 3 {
		t.Errorf("%d links were tried", forbidden)
	}
	judge(t, r, nil)
	check(t, p.CollectGarbage(published, len(m.Chunks)-1, 3, all(m)))
	equal(t, drain(t, r, p.Key(), spooltest.NewRemote()), db)
}

// Another process makes the same directories at the same time, and its own, empty ones replace those that were just made: what was
// about to be made in these fails, once.
func TestDirectoriesReplacedByAnotherProcess(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "spool")
	check(t, os.Mkdir(prefix, 0o700))
	check(t, os.Chmod(prefix, 0o770))
	replaced := map[string]bool{}
	r := openRoot(t, prefix, &spool.Options{WrapFS: func(base fsx.FS) fsx.FS {
		return fsx.Faulty(base, func(op fsx.Op, name string) error {
			dir := filepath.Dir(name)
			if op != fsx.OpMkdir && op != fsx.OpCreate || dir == "." || replaced[dir] || strings.Contains(dir, ".new.") {
				return nil
			}
			replaced[dir] = true
			return &fs.PathError{Op: string(op), Path: name, Err: syscall.ENOENT}
		})
	}})
	check(t, r.WriteTap(target.ID, name, []byte("tap")))
	if n := len(replaced); n < 2 {
		t.Errorf("for a tap only %v were replaced", replaced)
	}
	producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
	if n := len(replaced); n < 3 {
		t.Errorf("for a spool only %v were replaced", replaced)
	}
}
