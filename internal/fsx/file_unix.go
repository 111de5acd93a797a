//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package fsx

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// osFile is an open file. It is an *os.File without what that does for pipes
// and sockets, which costs system calls and a finalizer per file.
type osFile struct {
	path string // for messages
	base string

	mu sync.RWMutex // held for reading during every use of fd
	fd int          // -1 once closed
}

var (
	_ File  = (*osFile)(nil)
	_ WFile = (*osFile)(nil)
)

func (f *osFile) do(op string, call func(fd int) error) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	err := fs.ErrClosed
	if f.fd >= 0 {
		err = again(func() error { return call(f.fd) })
	}
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: f.path, Err: err}
}

func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, &fs.PathError{Op: "readat", Path: f.path, Err: unix.EINVAL}
	}
	return f.all("read", p, io.EOF, func(fd, n int) (int, error) { return unix.Pread(fd, p[n:], off+int64(n)) })
}

func (f *osFile) Write(p []byte) (int, error) {
	return f.all("write", p, io.ErrShortWrite, func(fd, n int) (int, error) { return unix.Write(fd, p[n:]) })
}

func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, &fs.PathError{Op: "writeat", Path: f.path, Err: unix.EINVAL}
	}
	return f.all("write", p, io.ErrShortWrite, func(fd, n int) (int, error) { return unix.Pwrite(fd, p[n:], off+int64(n)) })
}

// all repeats a call that may do a part only, of which n bytes are done, until it did all of p. The
// error is end when the call does nothing.
func (f *osFile) all(op string, p []byte, end error, call func(fd, n int) (int, error)) (n int, err error) {
	for n < len(p) {
		var m int
		err := f.do(op, func(fd int) (err error) {
			m, err = call(fd, n)
			return err
		})
		if err != nil {
			return n, err
		}
		if m <= 0 {
			return n, end
		}
		n += m
	}
	return n, nil
}

func (f *osFile) Truncate(size int64) error {
	return f.do("truncate", func(fd int) error { return unix.Ftruncate(fd, size) })
}

func (f *osFile) Stat() (Info, error) {
	var st unix.Stat_t
	if err := f.do("stat", func(fd int) error { return unix.Fstat(fd, &st) }); err != nil {
		return Info{}, err
	}
	return infoOf(f.base, &st), nil
}

func (f *osFile) Chmod(perm fs.FileMode) error {
	return f.do("chmod", func(fd int) error { return unix.Fchmod(fd, modeBits(perm)) })
}

func (f *osFile) Sync() error { return f.do("sync", syncFD) }

func (f *osFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := error(fs.ErrClosed)
	if f.fd >= 0 {
		err = unix.Close(f.fd)
		f.fd = -1
	}
	// After EINTR the descriptor is closed all the same.
	if err == nil || errors.Is(err, unix.EINTR) {
		return nil
	}
	return &fs.PathError{Op: "close", Path: f.path, Err: err}
}

func (o *osFS) file(name string, fd int) *osFile {
	_, base := splitName(name)
	return &osFile{path: filepath.Join(o.dir, name), base: base, fd: fd}
}

// openRegular opens a file and insists that it is a regular one. Not blocking
// keeps a planted pipe from stopping us.
func (o *osFS) openRegular(name string, flags int, mode uint32, st *unix.Stat_t) (int, error) {
	fd, err := o.open(name, flags|unix.O_NONBLOCK, mode)
	if err != nil {
		if errors.Is(err, unix.ENXIO) { // a pipe or socket
			err = ErrIrregular
		}
		return -1, err
	}
	err = again(func() error { return unix.Fstat(fd, st) })
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = ErrIrregular
	}
	if err != nil {
		closeFD(fd)
		return -1, err
	}
	return fd, nil
}

func (o *osFS) ReadFile(name string) ([]byte, error) {
	b, err := o.readFile(name)
	if err != nil {
		return nil, o.fail("read", name, err)
	}
	return b, nil
}

func (o *osFS) readFile(name string) ([]byte, error) {
	var st unix.Stat_t
	fd, err := o.openRegular(name, unix.O_RDONLY, 0, &st)
	if err != nil {
		return nil, err
	}
	defer closeFD(fd)
	b := make([]byte, 0, st.Size+1) // one more, to see the end without growing
	for {
		var n int
		err := again(func() (err error) {
			n, err = unix.Read(fd, b[len(b):cap(b)])
			return err
		})
		if err != nil {
			return nil, err
		}
		if n <= 0 {
			return b, nil
		}
		b = b[:len(b)+n]
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
}

func (o *osFS) Open(name string) (File, error) {
	var st unix.Stat_t
	fd, err := o.openRegular(name, unix.O_RDONLY, 0, &st)
	if err != nil {
		return nil, o.fail("open", name, err)
	}
	return o.file(name, fd), nil
}

func (o *osFS) Create(name string, perm fs.FileMode) (WFile, error) {
	fd, err := o.open(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, modeBits(perm))
	if err != nil {
		return nil, o.fail("create", name, err)
	}
	return o.file(name, fd), nil
}

func (o *osFS) TryLock(name string) (io.Closer, error) {
	var st unix.Stat_t
	fd, err := o.openRegular(name, unix.O_RDWR|unix.O_CREAT, 0o600, &st)
	if errors.Is(err, unix.EACCES) { // somebody else's: reading is enough to lock it
		fd, err = o.openRegular(name, unix.O_RDONLY, 0, &st)
	}
	if err != nil {
		return nil, o.fail("lock", name, err)
	}
	if err := again(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		closeFD(fd)
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, o.fail("lock", name, err)
	}
	return o.file(name, fd), nil
}

func infoOf(base string, st *unix.Stat_t) Info {
	return Info{
		Name:       base,
		Size:       st.Size,
		Mode:       fileMode(uint32(st.Mode)),
		ModTime:    time.Unix(st.Mtim.Unix()),
		ChangeTime: time.Unix(st.Ctim.Unix()),
		Dev:        uint64(st.Dev), // its type differs between systems
		Ino:        st.Ino,
		Uid:        st.Uid,
		Gid:        st.Gid,
	}
}

// special pairs the mode bits that fs.FileMode keeps elsewhere.
var special = [...]struct {
	unix uint32
	mode fs.FileMode
}{
	{unix.S_ISUID, fs.ModeSetuid},
	{unix.S_ISGID, fs.ModeSetgid},
	{unix.S_ISVTX, fs.ModeSticky},
}

func modeBits(perm fs.FileMode) uint32 {
	bits := uint32(perm.Perm())
	for _, s := range special {
		if perm&s.mode != 0 {
			bits |= s.unix
		}
	}
	return bits
}

func fileMode(bits uint32) fs.FileMode {
	mode := fs.FileMode(bits & 0o777)
	for _, s := range special {
		if bits&s.unix != 0 {
			mode |= s.mode
		}
	}
	switch bits & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFBLK:
		mode |= fs.ModeDevice
	default:
		mode |= fs.ModeIrregular
	}
	return mode
}
