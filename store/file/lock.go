package file

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"runtime"
	"time"
)

// lockShards is the number of lock files; objects share them by hash. Nobody
// holds two at once.
const lockShards = 64

// lock excludes everybody else, here and in other processes, from changing what
// is at a path.
func (s *Store) lock(ctx context.Context, root *os.Root, path string, perm perms) (unlock func(), err error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(path)) // never fails
	shard := h.Sum32() % lockShards
	// Goroutines of this process queue here, so that few poll below.
	select {
	case s.shards[shard] <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() {
		if err != nil {
			<-s.shards[shard]
		}
	}()
	name := fmt.Sprintf("%s/%02x", lockDir, shard)
	f, err := openLock(root, name, perm)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if err := poll(ctx, f); err != nil {
		return nil, fmt.Errorf("lock %q: %w", path, err)
	}
	return func() {
		_ = f.Close() // read nothing, wrote nothing
		<-s.shards[shard]
	}, nil
}

func openLock(root *os.Root, name string, perm perms) (*os.File, error) {
	const flags = os.O_CREATE | os.O_RDWR
	f, err := root.OpenFile(name, flags, perm.file)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeDir(root, lockDir, perm); err == nil {
			f, err = root.OpenFile(name, flags, perm.file)
		}
	}
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.Mode().Perm() != perm.file && runtime.GOOS != "windows" {
		_ = f.Chmod(perm.file) // fails if it is not ours; then it is right already
	}
	return f, nil
}

// poll waits for the lock on f. What is done under it takes some system calls.
func poll(ctx context.Context, f *os.File) error {
	for wait := 100 * time.Microsecond; ; wait = min(2*wait, 10*time.Millisecond) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if ok, err := tryLock(f); ok || err != nil {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// syncDir makes the names in a directory durable.
func (s *Store) syncDir(root *os.Root, dir string) error {
	if s.opts.NoSync || runtime.GOOS == "windows" {
		return nil // there the file system keeps its own journal
	}
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// maxKnown bounds the memory for directories known to be durable.
const maxKnown = 10000

// known reports whether a directory exists and is durable, as far as this
// store has seen.
func (s *Store) known(dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.synced[dir]
	return ok
}

func (s *Store) remember(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.synced == nil || len(s.synced) >= maxKnown {
		s.synced = make(map[string]struct{})
	}
	s.synced[dir] = struct{}{}
}

// forget makes the next Put look at its directories again.
func (s *Store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced = nil
}
