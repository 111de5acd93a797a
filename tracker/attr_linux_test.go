package tracker_test

import "golang.org/x/sys/unix"

const attr = "user.boule.version_id"

// setID sets the random part of the version id; empty removes it.
func (w *world) setID(id string) {
	w.Helper()
	if id == "" {
		if err := unix.Removexattr(w.path, attr); err != unix.ENODATA {
			check(w.tb, err)
		}
		return
	}
	check(w.tb, unix.Setxattr(w.path, attr, []byte(id), 0))
}

func (w *world) getID() string {
	w.Helper()
	buf := make([]byte, 256)
	n, err := unix.Getxattr(w.path, attr, buf)
	if err == unix.ENODATA {
		return ""
	}
	check(w.tb, err)
	return string(buf[:n])
}
