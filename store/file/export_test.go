package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// SetListBatch makes listings read directories in smaller batches.
func (s *Store) SetListBatch(n int) { s.listBatch = n }

// HoldLock takes a lock of a directory as another process would.
func HoldLock(dir string, shard int) (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockDir, fmt.Sprintf("%02x", shard)), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if ok, err := tryLock(f); !ok {
		return nil, errors.Join(err, f.Close(), errors.New("the lock is taken"))
	}
	return func() { _ = f.Close() }, nil
}
