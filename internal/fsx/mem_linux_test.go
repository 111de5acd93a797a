package fsx_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/boule-db/boule/internal/fsx"
)

// pair does everything to a directory of the system and to one in memory.
type pair struct {
	t     *rapid.T
	fsys  [2]fsx.FS // where operations start: the root or a Sub
	root  [2]fsx.FS
	subs  [][2]fsx.FS
	files [][2]fsx.File
	outs  [][2]fsx.WFile
	locks map[string][2]io.Closer
}

// result makes what an operation returned comparable.
func result(value any, err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return fmt.Sprintf("%+v", value)
	case errors.Is(err, errors.ErrUnsupported): // RenameNew can't tell why it is refused
		errno = syscall.EINVAL
		fallthrough
	case errors.As(err, &errno):
		return fmt.Sprintf("errno %d (%v)", int(errno), errno)
	}
	for _, sentinel := range []error{fsx.ErrIrregular, fsx.ErrLocked, fs.ErrClosed, io.EOF} {
		if errors.Is(err, sentinel) {
			return fmt.Sprintf("%+v, %v", value, sentinel)
		}
	}
	return "unknown error " + err.Error()
}

// both does an operation to both.
func (p *pair) both(what string, op func(i int, f fsx.FS) (any, error)) bool {
	p.t.Helper()
	got := [2]string{}
	ok := true
	for i, f := range p.fsys {
		value, err := op(i, f)
		got[i] = result(value, err)
		ok = ok && err == nil
	}
	if got[0] != got[1] {
		p.t.Fatalf("%s: the system says %s, memory says %s", what, got[0], got[1])
	}
	return ok
}

var (
	goodNames = rapid.SampledFrom([]string{"a", "b", "d", "e", "d/a", "d/b", "d/d", "e/a", "e/d", "d/d/a", "d/d/d"})
	badNames  = rapid.SampledFrom([]string{
		".", "", "../a", "d//a", "a/x", "e/d/d/d", "n" + strings.Repeat("x", 255), "d/" + strings.Repeat("x", 255),
	})
	names = rapid.Custom(func(t *rapid.T) string {
		if rapid.IntRange(0, 9).Draw(t, "bad") == 9 {
			return badNames.Draw(t, "name")
		}
		return goodNames.Draw(t, "name")
	})
	perms = rapid.SampledFrom([]fs.FileMode{0o777, 0o700, 0o644, 0o444, 0o1777})
)

func (p *pair) one(what string, op func(f fsx.FS, name string) (any, error)) {
	name := names.Draw(p.t, "name")
	p.both(what+" "+name, func(_ int, f fsx.FS) (any, error) { return op(f, name) })
}

func (p *pair) two(what string, op func(f fsx.FS, oldname, newname string) error) {
	oldname, newname := names.Draw(p.t, "old"), names.Draw(p.t, "new")
	p.both(fmt.Sprintf("%s %s %s", what, oldname, newname), func(_ int, f fsx.FS) (any, error) {
		return nil, op(f, oldname, newname)
	})
}

// look returns all that can be seen below f. Files are the same if their numbers
// in the list are.
func look(f fsx.FS) (all []string) {
	inodes := map[uint64]int{}
	var walk func(dir string)
	walk = func(dir string) {
		list, err := f.ReadDir(dir)
		if err != nil {
			all = append(all, dir+": "+result(nil, err))
			return
		}
		slices.Sort(list)
		for _, base := range list {
			name := strings.TrimPrefix(dir+"/"+base, "./")
			info, err := f.Stat(name)
			if err != nil {
				all = append(all, name+": "+result(nil, err))
				continue
			}
			if _, ok := inodes[info.Ino]; !ok {
				inodes[info.Ino] = len(inodes)
			}
			line := fmt.Sprintf("%s %v #%d", name, info.Mode, inodes[info.Ino])
			if info.IsDir() {
				all = append(all, line)
				walk(name)
				continue
			}
			b, err := f.ReadFile(name)
			all = append(all, fmt.Sprintf("%s %d %s", line, info.Size, result(string(b), err)))
		}
	}
	walk(".")
	return all
}

func (p *pair) actions() map[string]func(*rapid.T) {
	acts := map[string]func(){
		"create": func() {
			name, perm := names.Draw(p.t, "name"), perms.Draw(p.t, "perm")
			var out [2]fsx.WFile
			if p.both("create "+name, func(i int, f fsx.FS) (_ any, err error) {
				out[i], err = f.Create(name, perm)
				return nil, err
			}) {
				p.outs = append(p.outs, out)
			}
		},
		"write": func() {
			i, data, perm := rapid.IntRange(0, 10).Draw(p.t, "file"), rapid.SliceOfN(rapid.Byte(), 1, 6).Draw(p.t, "data"), perms.Draw(p.t, "perm")
			if i >= len(p.outs) {
				return
			}
			out := p.outs[i]
			p.both("write", func(i int, _ fsx.FS) (any, error) { return out[i].Write(data) })
			switch len(data) {
			case 3:
				p.both("fchmod", func(i int, _ fsx.FS) (any, error) { return nil, out[i].Chmod(perm) })
			case 1:
				p.both("sync", func(i int, _ fsx.FS) (any, error) { return nil, out[i].Sync() })
			case 2:
				p.both("close", func(i int, _ fsx.FS) (any, error) { return nil, out[i].Close() })
			}
		},
		"open": func() {
			name := names.Draw(p.t, "name")
			var file [2]fsx.File
			if p.both("open "+name, func(i int, f fsx.FS) (_ any, err error) {
				file[i], err = f.Open(name)
				return nil, err
			}) {
				p.files = append(p.files, file)
			}
		},
		"readat": func() {
			i, off, n := rapid.IntRange(0, 10).Draw(p.t, "file"), rapid.Int64Range(-1, 10).Draw(p.t, "off"), rapid.IntRange(1, 10).Draw(p.t, "n")
			if i >= len(p.files) {
				return
			}
			file := p.files[i]
			p.both("readat", func(i int, _ fsx.FS) (any, error) {
				b := make([]byte, n)
				n, err := file[i].ReadAt(b, off)
				return b[:n], err
			})
			p.both("fstat", func(i int, _ fsx.FS) (any, error) {
				info, err := file[i].Stat()
				return fmt.Sprint(info.Name, info.Size, info.Mode), err
			})
			if off == -1 {
				p.both("close", func(i int, _ fsx.FS) (any, error) { return nil, file[i].Close() })
			}
		},
		"lock": func() {
			name := names.Draw(p.t, "name")
			var lock [2]io.Closer
			if p.both("lock "+name, func(i int, f fsx.FS) (_ any, err error) {
				lock[i], err = f.TryLock(name)
				return nil, err
			}) {
				p.locks[fmt.Sprint(len(p.locks))] = lock
			}
		},
		"unlock": func() {
			for name, lock := range p.locks {
				p.both("unlock", func(i int, _ fsx.FS) (any, error) { return nil, lock[i].Close() })
				delete(p.locks, name)
			}
		},
		"sub": func() {
			name := names.Draw(p.t, "name")
			var sub [2]fsx.FS
			if p.both("sub "+name, func(i int, f fsx.FS) (_ any, err error) {
				sub[i], err = f.Sub(name)
				return nil, err
			}) {
				p.subs = append(p.subs, sub)
			}
		},
		"go": func() {
			p.fsys = p.root
			if i := rapid.IntRange(0, 5).Draw(p.t, "sub"); i < len(p.subs) {
				p.fsys = p.subs[i]
			}
		},
		"mkdir": func() {
			perm := perms.Draw(p.t, "perm")
			p.one("mkdir", func(f fsx.FS, name string) (any, error) { return nil, f.Mkdir(name, perm) })
		},
		"mkdirall": func() {
			perm := perms.Draw(p.t, "perm")
			p.one("mkdirall", func(f fsx.FS, name string) (any, error) { return nil, f.MkdirAll(name, perm) })
		},
		"chmod": func() {
			perm := perms.Draw(p.t, "perm")
			p.one("chmod", func(f fsx.FS, name string) (any, error) { return nil, f.Chmod(name, perm) })
		},
		"readfile": func() {
			p.one("readfile", func(f fsx.FS, name string) (any, error) { return f.ReadFile(name) })
		},
		"stat": func() {
			p.one("stat", func(f fsx.FS, name string) (any, error) {
				info, err := f.Stat(name)
				return fmt.Sprint(info.Name, info.Mode), err
			})
		},
		"readdir": func() {
			n := rapid.IntRange(0, 3).Draw(p.t, "n")
			p.one("readdir", func(f fsx.FS, name string) (any, error) {
				some, err := f.ReadDirBatch(name, n)
				return len(some), err
			})
		},
		"remove": func() {
			p.one("remove", func(f fsx.FS, name string) (any, error) { return nil, f.Remove(name) })
		},
		"removeall": func() {
			p.one("removeall", func(f fsx.FS, name string) (any, error) { return nil, f.RemoveAll(name) })
		},
		"syncdir": func() {
			p.one("syncdir", func(f fsx.FS, name string) (any, error) { return nil, f.SyncDir(name) })
		},
		"link":      func() { p.two("link", fsx.FS.Link) },
		"rename":    func() { p.two("rename", fsx.FS.Rename) },
		"renamenew": func() { p.two("renamenew", fsx.FS.RenameNew) },
		"renamedir": func() { p.two("renamedir", fsx.FS.RenameDir) },
		"": func() {
			if diff := cmp.Diff(look(p.root[0]), look(p.root[1])); diff != "" {
				p.t.Fatalf("trees (-system +memory):\n%s", diff)
			}
		},
	}
	all := map[string]func(*rapid.T){}
	for name, act := range acts {
		all[name] = func(t *rapid.T) { p.t = t; act() }
	}
	return all
}

func (p *pair) close() {
	for _, both := range append(p.subs, p.root) {
		for _, f := range both {
			f.Close()
		}
	}
	for i := range 2 {
		for _, f := range p.files {
			f[i].Close()
		}
		for _, f := range p.outs {
			f[i].Close()
		}
		for _, l := range p.locks {
			l[i].Close()
		}
	}
}

func TestMemIsLikeTheSystem(t *testing.T) {
	umask := syscall.Umask(0)
	syscall.Umask(umask)
	dir := t.TempDir()
	probe := open(t, dir)
	place(t, probe, "a", "")
	place(t, probe, "b", "")
	if err := probe.RenameNew("a", "c"); err != nil {
		t.Logf("this file system has no RenameNew: %v", err)
	}
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		dir := fmt.Sprintf("%s/%d", dir, runs)
		check(t, os.Mkdir(dir, 0o777))
		sys, err := fsx.OS(dir)
		check(t, err)
		mem := fsx.NewMem(&fsx.MemOptions{Umask: fs.FileMode(umask)})
		p := &pair{t: rt, root: [2]fsx.FS{sys, mem}, locks: map[string][2]io.Closer{}}
		p.fsys = p.root
		for _, f := range p.root {
			check(t, f.MkdirAll("d/d", 0o755))
			check(t, f.Mkdir("e", 0o755))
			write(t, f, "a", "a")
			write(t, f, "d/a", "da")
		}
		defer func() { p.close(); os.RemoveAll(dir) }()
		rt.Repeat(p.actions())
	})
}

func TestMemFileIsLikeTheSystem(t *testing.T) {
	dir := t.TempDir()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		flag := rapid.SampledFrom([]int{os.O_RDWR, os.O_WRONLY, os.O_RDONLY}).Draw(rt, "flag")
		path := fmt.Sprintf("%s/%d", dir, runs)
		mem := fsx.NewMem(nil)
		put(t, path, "0123456789")
		place(t, mem, "f", "0123456789")
		f, err := os.OpenFile(path, flag, 0)
		check(t, err)
		defer os.Remove(path)
		defer f.Close()
		m, err := mem.OpenFile("f", flag, 0)
		check(t, err)
		same := func(what string, a, b any, err, merr error) {
			rt.Helper()
			// What os reports of a file that was not opened for something varies in wording only.
			if got, want := result(b, merr), result(a, err); got != want && (err == nil || merr == nil || errors.Is(err, io.EOF)) {
				rt.Fatalf("%s: the system says %s, memory says %s", what, want, got)
			}
		}
		offs := rapid.Int64Range(0, 2000)
		rt.Repeat(map[string]func(*rapid.T){
			"writeat": func(rt *rapid.T) {
				off, data := offs.Draw(rt, "off"), rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(rt, "data")
				n, err := f.WriteAt(data, off)
				mn, merr := m.WriteAt(data, off)
				same("writeat", n, mn, err, merr)
			},
			"readat": func(rt *rapid.T) {
				off := offs.Draw(rt, "off")
				a, b := make([]byte, 30), make([]byte, 30)
				n, err := f.ReadAt(a, off)
				mn, merr := m.ReadAt(b, off)
				same("readat", a[:n], b[:mn], err, merr)
			},
			"truncate": func(rt *rapid.T) {
				size := offs.Draw(rt, "size")
				same("truncate", nil, nil, f.Truncate(size), m.Truncate(size))
			},
			"sync": func(rt *rapid.T) { same("sync", nil, nil, nil, m.Sync()) },
			"": func(rt *rapid.T) {
				want, err := os.ReadFile(path)
				got, merr := mem.ReadFile("f")
				same("content", want, got, err, merr)
			},
		})
	})
}
