package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/boule-db/boule/internal/fsx"
)

// A share says with whom the spools are shared: with those who may use the prefix as its group. It
// is that of the prefix, as last seen, and holds for everything below, whatever the umask. What
// others may do with the prefix is not passed on.
type share struct {
	group fs.FileMode // what the group may do, of 0070
	uid   uint32      // owner of the prefix
	gid   uint32
}

// dir returns the permissions of a directory. The set-group-id bit passes the group on.
func (s *share) dir() fs.FileMode {
	if s.group == 0 {
		return 0o700
	}
	return 0o700 | s.group | fs.ModeSetgid
}

// file returns the permissions of a file, which is complete when it appears, so nobody's to change.
func (s *share) file() fs.FileMode { return 0o400 | s.group&0o040 }

// lock returns the permissions of a lock file.
func (s *share) lock() fs.FileMode { return 0o600 | s.group&0o060 }

// judgePrefix fails with [ErrUnsafe] if users who are not meant to could change what is in the
// prefix, and so redirect uploads. Its owner is one of those who are; if that is neither the
// present user nor root, who can do everything anyway, then the present user must be invited
// by way of a group.
func judgePrefix(prefix string, info fsx.Info) (*share, error) {
	s := &share{group: info.Mode & 0o070, uid: info.Uid, gid: info.Gid}
	me := os.Geteuid()
	mine := me == int(info.Uid)
	switch {
	case info.Mode&0o002 != 0 && (!mine || info.Mode&fs.ModeSticky == 0):
		return nil, fmt.Errorf("%w: everybody may write to %s (chmod o-w it)", ErrUnsafe, prefix)
	case mine, info.Uid == 0, me < 0:
	case info.Mode&0o020 == 0 || !memberOf(info.Gid):
		return nil, fmt.Errorf("%w: %s belongs to user %d, and is not shared with user %d by a group", ErrUnsafe, prefix, info.Uid, me)
	}
	return s, nil
}

// judge fails with [ErrUnsafe] if somebody else than those who share the prefix may have made a
// directory below it, or could change what is in it.
func (s *share) judge(path string, info fsx.Info) error {
	me := os.Geteuid()
	shared := s.group&0o020 != 0 && info.Gid == s.gid
	switch {
	case info.Mode&0o002 != 0:
		return fmt.Errorf("%w: everybody may write to %s", ErrUnsafe, path)
	case info.Mode&0o020 != 0 && !shared && me != int(info.Uid):
		return fmt.Errorf("%w: group %d may write to %s, but does not share the spools", ErrUnsafe, info.Gid, path)
	case me == int(info.Uid), info.Uid == 0, info.Uid == s.uid, shared, me < 0:
		return nil
	}
	return fmt.Errorf("%w: %s belongs to user %d, who does not share the spools", ErrUnsafe, path, info.Uid)
}

func memberOf(gid uint32) bool {
	if os.Getegid() == int(gid) {
		return true
	}
	groups, err := os.Getgroups()
	return err == nil && slices.Contains(groups, int(gid))
}

// mkdir makes a directory with the permissions of its place. It fails with fs.ErrExist.
func (r *Root) mkdir(dir fsx.FS, name string) error {
	s := r.share.Load()
	if err := dir.Mkdir(name, 0o700); err != nil || s.group == 0 {
		return err
	}
	err := s.apply(dir, name)
	if err != nil {
		_ = dir.Remove(name)
	}
	return err
}

// apply gives a directory of ours the group of the prefix, and then its permissions. One that can't be
// given to that group stays with its owner.
func (s *share) apply(dir fsx.FS, name string) error {
	info, err := dir.Stat(name)
	if err != nil {
		return err
	}
	if info.Gid != s.gid && dir.Chgrp(name, s.gid) != nil {
		return nil
	}
	return dir.Chmod(name, s.dir())
}

// unlessReplaced calls f again, a few times, if something is missing that was there: as long as a directory is empty, another process
// that makes the same one may replace it, and who was just entering it is nowhere.
func unlessReplaced(f func() error) error {
	for try := 1; ; try++ {
		err := f()
		if try == 4 || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

// ensureDir is mkdir to which an existing directory is no error, and which makes missing parents. Nobody
// else sees one that they may not enter yet.
func (r *Root) ensureDir(base fsx.FS, name string) error {
	return unlessReplaced(func() error { return r.tryDir(base, name) })
}

func (r *Root) tryDir(base fsx.FS, name string) error {
	info, err := base.Stat(name)
	switch {
	case err == nil && !info.IsDir():
		return &fs.PathError{Op: "mkdir", Path: name, Err: errors.New("not a directory")}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if up := path.Dir(name); up != "." {
		if err := r.ensureDir(base, up); err != nil {
			return err
		}
	}
	if r.share.Load().group == 0 {
		err := base.Mkdir(name, 0o700)
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	fresh := path.Join(path.Dir(name), newDir+r.unique())
	if err := r.mkdir(base, fresh); err != nil {
		return err
	}
	// That of another, if still empty, is replaced.
	if err := base.RenameDir(fresh, name); err != nil {
		rerr := base.Remove(fresh)
		if errors.Is(err, fs.ErrExist) {
			return rerr
		}
		return err
	}
	return nil
}

// publish makes a file appear, see [fsx.Publish].
func (r *Root) publish(dir fsx.FS, scratch, name string, data []byte, clobber bool) error {
	return fsx.Publish(dir, scratch, name, data, r.share.Load().file(), clobber)
}

// Check says why nothing can be spooled now: the prefix, or what is in it, is not accessible, not
// writable, or not safe, see [ErrUnsafe]. It changes nothing. That nothing is there yet is no reason.
func (r *Root) Check() error {
	base, err := r.open(false)
	if missingIsFine(err) != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if err == nil {
		defer base.Close()
	}
	if !r.opts.real {
		return nil
	}
	// What is there of the path has to take in the rest.
	dir := r.Dir()
	err = fsx.CheckWritable(dir)
	for errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
		if err := leadsNowhere(dir); err != nil {
			return fmt.Errorf("spool: %w", err)
		}
		dir = filepath.Dir(dir)
		err = fsx.CheckWritable(dir)
	}
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// leadsNowhere returns an error if a path, which does not exist, is a symbolic link: no directory can be made there.
func leadsNowhere(path string) error {
	if to, err := os.Readlink(path); err == nil {
		return &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("a symbolic link to %s, where nothing is: %w", to, fs.ErrNotExist)}
	}
	return nil
}

// inspect judges the prefix, notes with whom it is shared, finds or makes the directory of the boot,
// and judges that, too.
func (r *Root) inspect(base fsx.FS, create bool) error {
	info, err := base.Stat(".")
	if err != nil {
		return err
	}
	s, err := judgePrefix(r.prefix, info)
	if err != nil {
		return err
	}
	r.share.Store(s)
	if info, err = r.probe(base, create); err != nil {
		return missingIsFine(err)
	}
	return s.judge(r.Dir(), info)
}
