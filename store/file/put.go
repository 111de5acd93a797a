package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/boule-db/boule/store"
)

// placeTries is how often a Put begins again because directories came and went
// under it.
const placeTries = 100

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	for wait := time.Millisecond; ; wait *= 4 {
		info, err := s.put(ctx, key, body, cond)
		if err == nil {
			return info, nil
		}
		// Another user may have made something right now, and not given it its permissions yet.
		if wait > maxSettle || !errors.Is(err, fs.ErrPermission) || errors.Is(err, store.ErrUnknownOutcome) {
			return store.Info{}, s.fail("put", key, err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return store.Info{}, s.fail("put", key, err)
		}
	}
}

// maxSettle bounds the pauses of a Put that has no permission.
const maxSettle = 64 * time.Millisecond

func (s *Store) put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	if err := errors.Join(check(ctx, key), cond.Validate()); err != nil {
		return store.Info{}, err
	}
	root, c, err := s.create()
	if err != nil {
		return store.Info{}, err
	}
	defer root.Close()
	perm, err := permissions(root)
	if err != nil {
		return store.Info{}, err
	}
	s.sweepTemp(root)
	temp, fi, err := s.writeTemp(root, body, perm)
	if err != nil {
		return store.Info{}, fmt.Errorf("write temporary file: %w", err)
	}
	defer func() { _ = root.Remove(temp) }() // gone already if it was renamed
	dirs, _ := c.keyPath(key)
	p := c.place(key)
	for range placeTries {
		if err = s.mkdirs(ctx, root, dirs, perm); err == nil {
			err = s.move(ctx, root, temp, p, cond)
		}
		if !isAbsent(err) {
			break
		}
		s.forget() // somebody removed a directory
	}
	if err != nil {
		return store.Info{}, err
	}
	if err := s.syncDir(root, p.dir); err != nil {
		err = fmt.Errorf("sync directory: %w", err)
		if !cond.IsZero() {
			err = fmt.Errorf("%w: %w", store.ErrUnknownOutcome, err)
		}
		return store.Info{}, err
	}
	return describe(key, fi), nil
}

// create opens the directory, and creates it and what belongs into it if need be.
func (s *Store) create() (*os.Root, codec, error) {
	root, c, err := s.open()
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.mkdirAll(s.dir); err == nil {
			root, c, err = s.open()
		}
	}
	if err != nil || s.codec.Load() != nil {
		return root, c, err
	}
	if c, err = s.initialize(root); err != nil {
		return nil, codec{}, errors.Join(err, root.Close())
	}
	return root, c, nil
}

// mkdirAll creates a directory and those above it, durably.
func (s *Store) mkdirAll(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
		if err := s.mkdirAll(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	parent, err := os.OpenRoot(filepath.Dir(dir))
	if err != nil {
		return err
	}
	return errors.Join(s.syncDir(parent, "."), parent.Close())
}

// initialize decides the layout of a directory that no Put has seen yet.
func (s *Store) initialize(root *os.Root) (codec, error) {
	perm, err := permissions(root)
	if err != nil {
		return codec{}, err
	}
	fold := s.opts.FoldCase
	if !fold {
		if fold, err = foldsCase(root); err != nil {
			return codec{}, fmt.Errorf("find out whether the file system folds cases: %w", err)
		}
	}
	if _, err := root.Lstat(tmpDir); fold && isAbsent(err) {
		f, err := root.OpenFile(foldMark, os.O_CREATE|os.O_WRONLY, perm.file)
		if err != nil {
			return codec{}, err
		}
		if err := f.Close(); err != nil {
			return codec{}, err
		}
	}
	for _, dir := range []string{lockDir, tmpDir} {
		if err := makeDir(root, dir, perm); err != nil {
			return codec{}, err
		}
	}
	if err := s.syncDir(root, "."); err != nil {
		return codec{}, err
	}
	return s.layout(root)
}

func foldsCase(root *os.Root) (bool, error) {
	n := rand.Uint64()
	f, err := root.OpenFile(fmt.Sprintf("~Probe-%x", n), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return false, err
	}
	defer func() { _ = root.Remove(fmt.Sprintf("~Probe-%x", n)) }() // harmless if it stays
	if err := f.Close(); err != nil {
		return false, err
	}
	_, err = root.Lstat(fmt.Sprintf("~pROBE-%x", n))
	if isAbsent(err) {
		return false, nil
	}
	return err == nil, err
}

// perms are the permissions of what is created, taken over from the directory. So
// is its group, if the directory has the set-group-id bit, which is taken over, too.
type perms struct{ dir, file fs.FileMode }

func permissions(root *os.Root) (perms, error) {
	info, err := root.Stat(".")
	if err != nil {
		return perms{}, err
	}
	dir := info.Mode()&(fs.ModePerm|fs.ModeSetgid) | 0o700
	return perms{dir, dir & 0o666}, nil
}

// makeDir creates a directory, whatever the umask; an existing one is fine.
func makeDir(root *os.Root, name string, perm perms) error {
	err := root.Mkdir(name, perm.dir.Perm())
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := root.Lstat(name)
	if err == nil && info.Mode()&(fs.ModePerm|fs.ModeSetgid) != perm.dir {
		err = root.Chmod(name, perm.dir)
	}
	return err
}

// writeTemp writes a complete and durable temporary file. Its modification time
// is already the object's.
func (s *Store) writeTemp(root *os.Root, body []byte, perm perms) (name string, info fs.FileInfo, err error) {
	name = fmt.Sprintf("%s/%d-%016x", tmpDir, os.Getpid(), rand.Uint64())
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm.file)
	if errors.Is(err, fs.ErrNotExist) { // somebody has emptied the directory
		if _, err = s.initialize(root); err == nil {
			f, err = root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm.file)
		}
	}
	if err != nil {
		return "", nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, root.Remove(name))
		}
	}()
	_, err = f.Write(body)
	if err == nil {
		now := time.Now()
		err = root.Chtimes(name, now, now)
	}
	if err == nil {
		info, err = f.Stat()
	}
	if err == nil && info.Mode().Perm() != perm.file && runtime.GOOS != "windows" {
		err = f.Chmod(perm.file)
	}
	if err == nil && !s.opts.NoSync {
		err = f.Sync()
	}
	return name, info, errors.Join(err, f.Close())
}

// sweepTemp removes what crashed processes have left, now and then.
func (s *Store) sweepTemp(root *os.Root) {
	now := time.Now()
	next := s.sweep.Load()
	if s.opts.TempAge < 0 || now.UnixNano() < next || !s.sweep.CompareAndSwap(next, now.Add(s.opts.TempAge).UnixNano()) {
		return
	}
	dir, err := root.Open(tmpDir)
	if err != nil {
		return // nothing depends on it
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(256)
		for _, e := range entries {
			name := tmpDir + "/" + e.Name()
			if info, err := root.Lstat(name); err == nil && now.Sub(info.ModTime()) > s.opts.TempAge {
				_ = root.Remove(name) // the next sweep tries again
			}
		}
		if err != nil {
			return
		}
	}
}

// mkdirs creates the directories of an object, durably, and moves objects that
// are in their way aside.
func (s *Store) mkdirs(ctx context.Context, root *os.Root, dirs []string, perm perms) error {
	parent := "."
	for _, name := range dirs {
		p := place{parent, name}
		if !s.known(p.path()) {
			if info, err := root.Lstat(p.path()); err != nil || !info.IsDir() {
				if err := s.makeWay(ctx, root, p, perm); err != nil {
					return err
				}
			}
			if err := s.syncDir(root, parent); err != nil {
				return err
			}
			s.remember(p.path())
		}
		parent = p.path()
	}
	return nil
}

func (s *Store) makeWay(ctx context.Context, root *os.Root, p place, perm perms) error {
	unlock, err := s.lock(ctx, root, p.path(), perm)
	if err != nil {
		return err
	}
	defer unlock()
	info, err := root.Lstat(p.path())
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		if err := root.Rename(p.path(), p.aside()); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return makeDir(root, p.path(), perm)
}

// move makes the temporary file the object, if the condition holds.
func (s *Store) move(ctx context.Context, root *os.Root, temp string, p place, cond store.Condition) error {
	perm, err := permissions(root)
	if err != nil {
		return err
	}
	unlock, err := s.lock(ctx, root, p.path(), perm)
	if err != nil {
		return err
	}
	defer unlock()
	path, old, err := stat(root, p)
	switch {
	case errors.Is(err, store.ErrNotExist):
		if cond.IfMatch != "" {
			return store.ErrPrecondition
		}
		path = p.path()
		if info, err := root.Lstat(path); err == nil && info.IsDir() {
			path = p.aside()
		}
		return appear(root, temp, path)
	case err != nil:
		return err
	case cond.IfAbsent || cond.IfMatch != "" && etag(old) != cond.IfMatch:
		return store.ErrPrecondition
	}
	return root.Rename(temp, path)
}

// appear is a rename that replaces nothing. The lock sees to that among stores;
// a link sees to it even if somebody else has put a file there.
func appear(root *os.Root, temp, path string) error {
	if runtime.GOOS == "windows" {
		return root.Rename(temp, path)
	}
	err := root.Link(temp, path)
	switch {
	case errors.Is(err, fs.ErrExist):
		return store.ErrPrecondition
	case errors.Is(err, syscall.EPERM), errors.Is(err, errors.ErrUnsupported), errors.Is(err, syscall.EMLINK):
		return root.Rename(temp, path) // a file system without links
	}
	return err
}
