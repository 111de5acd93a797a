//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A watcher links each version of each manifest of a directory store into the
// history, the moment that it appears. The store renames them into place; a link
// keeps the version that was replaced since.
type watcher struct {
	h                 *history
	notify            *os.File
	chunks, manifests int // file descriptors, which lead there also while the store is away
	done              sync.WaitGroup
	seen              map[uint64]bool // inodes, which stay in use by the links
}

func watch(dir string, h *history) (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK) // nonblocking: so that closing ends a read
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	w := &watcher{h: h, notify: os.NewFile(uintptr(fd), "inotify"), seen: map[uint64]bool{}}
	if _, err := unix.InotifyAddWatch(fd, dir+"/manifests", unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
		return nil, errors.Join(fmt.Errorf("inotify: %w", err), w.notify.Close())
	}
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	if w.chunks, err = unix.Open(dir+"/chunks", flags, 0); err == nil {
		w.manifests, err = unix.Open(dir+"/manifests", flags, 0)
	}
	if err != nil {
		return nil, errors.Join(err, w.notify.Close())
	}
	w.done.Go(w.run)
	return w, nil
}

func (w *watcher) close() error {
	err := w.notify.Close()
	w.done.Wait()
	return errors.Join(err, unix.Close(w.chunks), unix.Close(w.manifests))
}

func (w *watcher) run() {
	buf := make([]byte, 64<<10)
	for {
		n, err := w.notify.Read(buf)
		if err != nil {
			return // closed
		}
		for off := 0; off+unix.SizeofInotifyEvent <= n; {
			mask := binary.NativeEndian.Uint32(buf[off+4:])
			length := int(binary.NativeEndian.Uint32(buf[off+12:]))
			off += unix.SizeofInotifyEvent
			name := strings.TrimRight(string(buf[off:off+length]), "\x00")
			off += length
			if mask&unix.IN_Q_OVERFLOW != 0 {
				w.h.fail(errors.New("inotify lost events"))
			}
			if name != "" {
				if err := w.appeared(name); err != nil {
					w.h.fail(fmt.Errorf("keep manifest %s: %w", name, err))
				}
			}
		}
	}
}

// chunk reads a chunk as it is stored.
func (w *watcher) chunk(name string) ([]byte, error) {
	fd, err := unix.Openat(w.chunks, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return io.ReadAll(f)
}

// appeared keeps the manifest of that name, if this version is not kept yet. If it is, the event
// was of an earlier one, which was replaced since.
func (w *watcher) appeared(name string) error {
	u := upload{store: "file", name: name, file: w.h.copyName("file")}
	if err := unix.Linkat(w.manifests, name, unix.AT_FDCWD, u.file, 0); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat(u.file, &st); err != nil {
		return err
	}
	if w.seen[st.Ino] {
		w.h.miss()
		return os.Remove(u.file)
	}
	w.seen[st.Ino] = true
	body, err := os.ReadFile(u.file)
	if err != nil {
		return err
	}
	u.absent, err = absentChunk(body, func(chunk string) bool {
		return unix.Fstatat(w.chunks, chunk, &unix.Stat_t{}, 0) == nil
	}, w.chunk)
	w.h.add(u)
	return err
}
