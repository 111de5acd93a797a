//go:build linux || darwin || freebsd

package fsx_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/internal/fsx/faultloop"
)

var (
	oldContent = strings.Repeat("old", 700) // several sectors
	newContent = strings.Repeat("new!", 800)
)

// durable are the ways to make a file appear durably; overwrite says that
// there is an old one.
var durable = map[string]func(fsys fsx.FS, overwrite bool) error{
	"Replace": func(fsys fsx.FS, _ bool) error {
		return fsx.ReplaceIn(fsys, "f", 0o644, func(w io.Writer) error {
			for _, part := range []string{newContent[:1000], newContent[1000:]} {
				if _, err := io.WriteString(w, part); err != nil {
					return err
				}
			}
			return nil
		})
	},
	"TempFile": commitTemp,
	"TempFile without RenameNew": func(fsys fsx.FS, overwrite bool) error {
		return commitTemp(fsx.Faulty(fsys, func(op fsx.Op, _ string) error {
			if op == fsx.OpRenameNew {
				return errors.ErrUnsupported
			}
			return nil
		}), overwrite)
	},
}

func commitTemp(fsys fsx.FS, overwrite bool) error {
	f, err := fsx.CreateTempIn(fsys, "f", 0o644)
	if err != nil {
		return err
	}
	defer f.Abort()
	// In any order.
	for _, off := range []int{1000, 0} {
		part := newContent[off:]
		if off == 0 {
			part = part[:1000]
		}
		if _, err := f.File.WriteAt([]byte(part), int64(off)); err != nil {
			return err
		}
	}
	return f.Commit(overwrite)
}

// crashDurable runs a way with a crash before the call n, and returns what is
// wrong with the images of a power loss then, and of a power loss after the
// success of the way. It is done when there is no call n.
func crashDurable(t *testing.T, way func(fsx.FS, bool) error, overwrite bool, n int, under func(*fsx.Mem) fsx.FS) (wrong []string, images int, done bool) {
	t.Helper()
	mem := fsx.NewMem(nil)
	if overwrite {
		place(t, mem, "f", oldContent)
	}
	mem.SyncAll()
	plan := fsx.CrashAt(n)
	err := way(plan.Wrap(under(mem)), overwrite)
	done = plan.Hit() == ""
	if done != (err == nil) {
		t.Fatalf("crash at %q: got %v", plan.Hit(), err)
	}
	for name, img := range mem.Images(300, rand.New(rand.NewPCG(uint64(n), 0))) {
		images++
		got := "absent"
		if b, err := img.ReadFile("f"); err == nil {
			got = string(b)
		}
		switch {
		case got == newContent:
		case done:
			wrong = append(wrong, fmt.Sprintf("after success, image %s: %.20q", name, got))
		case got == oldContent && overwrite, got == "absent" && !overwrite:
		default:
			wrong = append(wrong, fmt.Sprintf("crash before %q, image %s: %.20q", plan.Hit(), name, got))
		}
	}
	return wrong, images, done
}

func TestDurableVerbsAndPowerLoss(t *testing.T) {
	for name, way := range durable {
		for _, overwrite := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%v", name, overwrite), func(t *testing.T) {
				total := 0
				for n := 0; ; n++ {
					wrong, images, done := crashDurable(t, way, overwrite, n, func(m *fsx.Mem) fsx.FS { return m })
					total += images
					for _, w := range wrong {
						t.Error(w)
					}
					if done {
						t.Logf("%d crash points, %d images", n, total)
						return
					}
				}
			})
		}
	}
}

// careless is an FS that leaves out, or puts off, what makes a file durable.
type careless struct {
	fsx.FS
	noSync, noSyncDir bool
	late              bool // files are synced only with the directory
	files             []fsx.WFile
}

func (c *careless) Create(name string, perm fs.FileMode) (fsx.WFile, error) {
	f, err := c.FS.Create(name, perm)
	if err != nil {
		return nil, err
	}
	return &carelessFile{f, c}, nil
}

func (c *careless) SyncDir(name string) error {
	if c.noSyncDir {
		return nil
	}
	if err := c.FS.SyncDir(name); err != nil {
		return err
	}
	for _, f := range c.files {
		if err := f.Sync(); err != nil {
			return err
		}
		f.Close()
	}
	return nil
}

type carelessFile struct {
	fsx.WFile
	c *careless
}

func (f *carelessFile) Sync() error {
	switch {
	case f.c.noSync:
		return nil
	case f.c.late:
		f.c.files = append(f.c.files, f.WFile)
		return nil
	}
	return f.WFile.Sync()
}

func (f *carelessFile) Close() error {
	if f.c.late {
		return nil
	}
	return f.WFile.Close()
}

// TestDurableVerbsCanFail shows that the power loss finds what is left out.
func TestDurableVerbsCanFail(t *testing.T) {
	faults := map[string]func(m *fsx.Mem) fsx.FS{
		"no sync of the file":           func(m *fsx.Mem) fsx.FS { return &careless{FS: m, noSync: true} },
		"no sync of the directory":      func(m *fsx.Mem) fsx.FS { return &careless{FS: m, noSyncDir: true} },
		"sync of the file after rename": func(m *fsx.Mem) fsx.FS { return &careless{FS: m, late: true} },
	}
	for fault, under := range faults {
		for name, way := range durable {
			t.Run(fault+"/"+name, func(t *testing.T) {
				for n := 0; ; n++ {
					wrong, _, done := crashDurable(t, way, true, n, under)
					if len(wrong) > 0 {
						return
					}
					if done {
						t.Fatal("nobody noticed")
					}
				}
			})
		}
	}
}

// TestPublishAndCrash is about killed processes: nothing that Publish makes
// outlives a power loss, and so it must not wait for a disk.
func TestPublishAndCrash(t *testing.T) {
	for _, clobber := range []bool{false, true} {
		for _, existing := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/%v", clobber, existing), func(t *testing.T) {
				faultloop.Crash(t, func(t *testing.T, plan *fsx.Plan) {
					mem := fsx.NewMem(nil)
					if existing {
						place(t, mem, "f", oldContent)
					}
					var ops []fsx.Op
					noting := fsx.Faulty(plan.Wrap(mem), func(op fsx.Op, _ string) error {
						ops = append(ops, op)
						return nil
					})
					err := fsx.Publish(noting, "scratch", "f", []byte(newContent), 0o444, clobber)
					for _, op := range ops {
						if op == fsx.OpSync || op == fsx.OpSyncDir {
							t.Errorf("Publish calls %s", op)
						}
					}
					left := mem.Kill()
					got := "absent"
					if b, rerr := left.ReadFile("f"); rerr == nil {
						got = string(b)
					}
					switch {
					case got == newContent && (clobber || !existing):
						info, err := left.Stat("f")
						check(t, err)
						if info.Mode != 0o444 {
							t.Errorf("mode %v", info.Mode)
						}
					case err == nil && (clobber || !existing):
						t.Errorf("after success: got %.20q", got)
					case got == "absent" && !existing, got == oldContent && existing:
					default:
						t.Errorf("got %.20q", got)
					}
					// Whoever comes next may do it again.
					check(t, fsx.Publish(left, "scratch2", "f", []byte(newContent), 0o444, true))
					b, err := left.ReadFile("f")
					check(t, err)
					if string(b) != newContent {
						t.Errorf("the next one: got %.20q", b)
					}
				})
			})
		}
	}
}
