package fsx

import (
	"errors"
	"fmt"
	"io/fs"
)

// Publish makes data appear in fsys under name, whole and with the permissions perm whatever the
// umask, by way of a file called scratch on the same filesystem. With clobber it replaces what has
// the name; without, an existing file is left alone and counts as success.
//
// Nothing is synced: Publish is for trees that are ignored after a reboot. After
// an error name is as it was, scratch is gone if it could be removed, and
// Publish may be called again with a new scratch name.
func Publish(fsys FS, scratch, name string, data []byte, perm fs.FileMode, clobber bool) error {
	if !clobber {
		_, err := PublishNew(fsys, scratch, name, data, perm)
		return err
	}
	if err := writeScratch(fsys, scratch, data, perm); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := fsys.Rename(scratch, name); err != nil {
		return fmt.Errorf("publish: %w", errors.Join(err, cleanup(fsys, scratch)))
	}
	return nil
}

// PublishOpen is [Publish] with clobber that returns the published file, open: whatever has the name
// later, as long as it is open no other file has its identity.
func PublishOpen(fsys FS, scratch, name string, data []byte, perm fs.FileMode) (File, error) {
	if err := writeScratch(fsys, scratch, data, perm); err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	f, err := fsys.Open(scratch)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", errors.Join(err, cleanup(fsys, scratch)))
	}
	if err := fsys.Rename(scratch, name); err != nil {
		return nil, fmt.Errorf("publish: %w", errors.Join(err, f.Close(), cleanup(fsys, scratch)))
	}
	return f, nil
}

// PublishNew is [Publish] without clobber that says whether name existed.
func PublishNew(fsys FS, scratch, name string, data []byte, perm fs.FileMode) (existed bool, err error) {
	if err := writeScratch(fsys, scratch, data, perm); err != nil {
		return false, fmt.Errorf("publish: %w", err)
	}
	err = fsys.Link(scratch, name)
	existed = errors.Is(err, fs.ErrExist)
	if existed {
		err = nil
	}
	rerr := cleanup(fsys, scratch)
	if err != nil {
		return false, fmt.Errorf("publish: %w", errors.Join(err, rerr))
	}
	// The file is published. What could not be removed of the scratch file is for
	// the next cleaning of scratch files.
	return existed, nil
}

// writeScratch makes a file of data, or nothing.
func writeScratch(fsys FS, scratch string, data []byte, perm fs.FileMode) error {
	f, err := fsys.Create(scratch, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(perm)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return errors.Join(err, cleanup(fsys, scratch))
	}
	return nil
}

// cleanup removes a file, if it is there.
func cleanup(fsys FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
