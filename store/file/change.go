package file

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/boule-db/boule/store"
)

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.delete(ctx, key); err != nil {
		return s.fail("delete", key, err)
	}
	return nil
}

func (s *Store) delete(ctx context.Context, key string) error {
	p, err := s.locked(ctx, key, func(root *os.Root, path string) error { return root.Remove(path) })
	if errors.Is(err, store.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	root, _, err := s.open()
	if err != nil {
		return err
	}
	return errors.Join(s.syncDir(root, p.dir), root.Close())
}

// locked calls op with the path of an existing object, under its lock.
func (s *Store) locked(ctx context.Context, key string, op func(root *os.Root, path string) error) (place, error) {
	if err := check(ctx, key); err != nil {
		return place{}, err
	}
	root, c, err := s.open()
	if isAbsent(err) {
		return place{}, store.ErrNotExist
	}
	if err != nil {
		return place{}, err
	}
	defer root.Close()
	p := c.place(key)
	if _, _, err := stat(root, p); err != nil {
		return p, err // most often absent: no lock, nothing created
	}
	perm, err := permissions(root)
	if err != nil {
		return p, err
	}
	unlock, err := s.lock(ctx, root, p.path(), perm)
	if err != nil {
		return p, err
	}
	defer unlock()
	path, _, err := stat(root, p)
	if err != nil {
		return p, err
	}
	return p, op(root, path)
}

// Touch implements store.Store.
func (s *Store) Touch(ctx context.Context, key string) (store.Info, error) {
	var info store.Info
	_, err := s.locked(ctx, key, func(root *os.Root, path string) error {
		now := time.Now()
		if err := root.Chtimes(path, now, now); err != nil {
			return err
		}
		fi, err := root.Stat(path)
		if err == nil {
			info = describe(key, fi)
		}
		return err
	})
	if err != nil {
		return store.Info{}, s.fail("touch", key, err)
	}
	return info, nil
}
