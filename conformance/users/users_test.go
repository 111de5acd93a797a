//go:build linux

package users

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

const (
	group    = 61000
	alice    = 61001
	bob      = 61002
	stranger = 61003
)

// as returns what makes a child run as a user. Without the right to do that all run as the present
// user, with different processes.
func as(uid uint32, groups ...uint32) *syscall.SysProcAttr {
	if os.Geteuid() != 0 {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, Groups: groups}}
}

// A place is where some users share a database.
type place struct {
	dir   string // shared by the group
	order order
}

func newPlace(t *testing.T) *place {
	t.Helper()
	top, err := os.MkdirTemp("", "boule-users-")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(top) })
	p := &place{dir: filepath.Join(top, "shared")}
	check(t, os.Chmod(top, 0o755))
	store := filepath.Join(top, "store")
	for _, dir := range []string{p.dir, store} {
		check(t, os.Mkdir(dir, 0o700))
		share(t, dir, 0o770|fs.ModeSetgid)
	}
	p.order = order{
		Do: "write", DB: []byte(filepath.Join(p.dir, "app.db")), Spool: filepath.Join(p.dir, "spool"), Perm: 0o770,
		Target: &target.Target{File: &target.File{Directory: store}}, Writes: 20,
	}
	// SQLite makes databases that only their owner may write to, so who shares one makes it first.
	check(t, os.WriteFile(string(p.order.DB), nil, 0o600))
	share(t, string(p.order.DB), 0o660)
	return p
}

func share(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if os.Geteuid() == 0 {
		check(t, os.Chown(path, 0, group))
	}
	check(t, os.Chmod(path, mode))
}

// cacheOf gives a user a copy of the compiled SQLite, which must be their own.
func cacheOf(t *testing.T, uid int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		return cache
	}
	dir := fmt.Sprintf("%s-%d", cache, uid)
	if out, err := exec.Command("cp", "-r", cache, dir).CombinedOutput(); err != nil {
		t.Fatalf("copy: %v: %s", err, out)
	}
	check(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		check(t, err)
		return os.Lchown(path, uid, uid)
	}))
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (p *place) write(t *testing.T, uid int, groups ...uint32) func() report {
	t.Helper()
	o := p.order
	o.Cache = cacheOf(t, uid)
	return start(t, o, as(uint32(uid), groups...))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// checkRestored compares what the store holds with the database.
func (p *place) checkRestored(t *testing.T) {
	t.Helper()
	cfg := p.order.config(os.Stderr)
	cfg.CacheDir = cache
	out := filepath.Join(t.TempDir(), "restored.db")
	_, err := boule.Restore(t.Context(), boule.SourceRef("", boule.CanonicalPath(string(p.order.DB))), out, cfg, nil)
	check(t, err)
	want, err := os.ReadFile(string(p.order.DB))
	check(t, err)
	got, err := os.ReadFile(out)
	check(t, err)
	if !bytes.Equal(got, want) {
		t.Error("the restored database differs")
	}
	db, err := boule.Open(t.Context(), out, &boule.Config{CacheDir: cache})
	check(t, err)
	defer db.Close()
	var rows, uids int
	check(t, db.QueryRowContext(t.Context(), `SELECT count(*), count(DISTINCT uid) FROM t`).Scan(&rows, &uids))
	if wantUIDs := map[bool]int{true: 2, false: 1}[os.Geteuid() == 0]; rows != 2*p.order.Writes || uids != wantUIDs {
		t.Errorf("%d rows of %d users, want %d of %d", rows, uids, 2*p.order.Writes, wantUIDs)
	}
}

// Two users who share a group write one database at once, each with a umask that leaves nothing to a
// group, and replicate it through one spool. Nobody else can look into the spool, or write there.
func TestTwoUsersShareADatabase(t *testing.T) {
	p := newPlace(t)
	a, b := p.write(t, alice, group), p.write(t, bob, group)
	for who, r := range map[string]report{"alice": a(), "bob": b()} {
		if r.Err != "" || r.Flush != "" || r.Warning != "" {
			t.Errorf("%s: error %q, flush %q, status %q", who, r.Err, r.Flush, r.Warning)
		}
	}
	p.checkRestored(t)

	look := []string{p.order.Spool + "/"}
	files := 0
	check(t, filepath.WalkDir(p.order.Spool, func(path string, d fs.DirEntry, err error) error {
		check(t, err)
		info, err := d.Info()
		check(t, err)
		if info.Mode()&0o007 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if d.IsDir() {
			path += "/"
		} else {
			files++
		}
		look = append(look, path)
		return nil
	}))
	if files < 3 {
		t.Errorf("only %d files in the spool", files)
	}
	if os.Geteuid() != 0 {
		return // there is no stranger
	}
	// The parent lets the stranger pass, so that only the spool itself protects it.
	share(t, p.dir, 0o775|fs.ModeSetgid)
	r := start(t, order{Do: "spy", Look: look}, as(stranger))()
	if r.Err != "" || len(r.Calls) > 0 {
		t.Errorf("a stranger could %q (%s)", r.Calls, r.Err)
	}
	if r := start(t, order{Do: "spy", Look: []string{p.dir + "/"}}, as(stranger))(); len(r.Calls) != 1 {
		t.Errorf("the spy does not even list a public directory: %v", r)
	}
}

// Whatever keeps the spool from being used, databases open, and are written and read; the reason is
// told by the log, by the status and to who asks for a flush.
func TestUnusableSpoolHurtsOnlyReplication(t *testing.T) {
	root := os.Geteuid() == 0
	for what, c := range map[string]struct {
		prepare func(t *testing.T, p *place)
		attr    func() *syscall.SysProcAttr
		reason  string
		root    bool // only root can prepare that
	}{
		"prefix of another user": {func(t *testing.T, p *place) {
			check(t, os.Mkdir(p.order.Spool, 0o700))
			check(t, os.Chown(p.order.Spool, stranger, stranger))
		}, nil, "permission denied", true},
		"prefix that a stranger planted": {func(t *testing.T, p *place) {
			check(t, os.Mkdir(p.order.Spool, 0o700))
			check(t, os.Chmod(p.order.Spool, 0o755))
			check(t, os.Chown(p.order.Spool, stranger, stranger))
		}, nil, "not safe", true},
		"world-writable prefix": {func(t *testing.T, p *place) {
			check(t, os.Mkdir(p.order.Spool, 0o700))
			check(t, os.Chmod(p.order.Spool, 0o777))
		}, nil, "everybody may write", false},
		"read-only filesystem": {func(t *testing.T, p *place) {
			p.order.Spool = filepath.Join(p.dir, "mnt", "spool")
			p.order.Mount = "ro"
			check(t, os.Mkdir(filepath.Dir(p.order.Spool), 0o777))
		}, ownMounts, "read-only file system", false},
		"full filesystem": {func(t *testing.T, p *place) {
			p.order.Spool = filepath.Join(p.dir, "mnt", "spool")
			p.order.Mount = "size=64k"
			check(t, os.Mkdir(filepath.Dir(p.order.Spool), 0o777))
		}, ownMounts, "no space left", false},
		"prefix below a file": {func(t *testing.T, p *place) {
			p.order.Spool = filepath.Join(string(p.order.DB), "spool")
		}, nil, "not a directory", false},
		"path that is not UTF-8": {func(t *testing.T, p *place) {
			p.order.DB = []byte(filepath.Join(p.dir, "latin1-\xe9.db"))
		}, nil, "not absolute UTF-8", false},
	} {
		t.Run(what, func(t *testing.T) {
			if c.root && !root {
				c.prepare = func(t *testing.T, p *place) { // what comes nearest
					check(t, os.Mkdir(p.order.Spool, 0))
				}
				c.reason = "permission denied"
			}
			p := newPlace(t)
			p.order.Writes = 5
			c.prepare(t, p)
			attr := as(alice, group)
			if c.attr != nil {
				attr = c.attr()
			}
			o := p.order
			o.Cache = cacheOf(t, alice)
			if c.attr != nil {
				o.Cache = cache
			}
			r := start(t, o, attr)()
			if r.Err != "" {
				t.Errorf("the application suffers: %s", r.Err)
			}
			for where, text := range map[string]string{"flush": r.Flush, "pragma": r.Pragma, "status": r.Warning, "log": r.Logged} {
				if !strings.Contains(text, c.reason) {
					t.Errorf("%s says %q, want %q", where, text, c.reason)
				}
			}
		})
	}
}

// ownMounts lets a child mount: as root in a namespace of mounts, as another in one of users, too.
func ownMounts() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		inOwnNamespace(a)
	}
	return a
}

// inOwnNamespace makes the present user root of a namespace.
func inOwnNamespace(a *syscall.SysProcAttr) {
	a.Cloneflags |= syscall.CLONE_NEWUSER
	a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
}
