package fsx

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// OS returns the FS of a directory of the operating system.
func OS(dir string) (FS, error) { return nil, errors.ErrUnsupported }

// Publish makes data appear under name, whole and read-only, by way of a file
// called scratch on the same filesystem. With clobber it replaces what has the
// name; without, an existing file is left alone and counts as success.
//
// Nothing is synced: Publish is for trees that are ignored after a reboot. After
// an error name is as it was, scratch is gone if it could be removed, and
// Publish may be called again with a new scratch name.
func Publish(fs FS, scratch, name string, data []byte, clobber bool) error {
	return errors.ErrUnsupported
}

// PublishNew is Publish without clobber that says whether name existed.
func PublishNew(fs FS, scratch, name string, data []byte) (existed bool, err error) {
	return false, errors.ErrUnsupported
}

// Replace makes a file of what write writes, durably: through a temporary file
// beside path, synced and renamed over it. After an error path has its old
// content, unless the error came from the very last step, syncing the
// directory, and no temporary file is left. Replace may be called again.
func Replace(path string, perm fs.FileMode, write func(io.Writer) error) error {
	return errors.ErrUnsupported
}

// A TempFile is a file on its way to a path.
type TempFile struct {
	File *os.File
}

// CreateTemp creates a temporary file, with permissions 0644 &^ umask, beside path.
func CreateTemp(path string) (*TempFile, error) { return nil, errors.ErrUnsupported }

// Commit syncs the file, gives it its path and syncs the directory. Without
// overwrite it fails with fs.ErrExist if the path exists, and nothing changes.
func (t *TempFile) Commit(overwrite bool) error { return errors.ErrUnsupported }

// Abort removes the file. After Commit it does nothing.
func (t *TempFile) Abort() {}
