//go:build linux || darwin

package tracker_test

import "golang.org/x/sys/unix"

const attr = "user.boule.version_id"

// setID sets the random part of the version id; empty removes it.
func (w *world) setID(id string) {
	w.Helper()
	if id == "" {
		_ = unix.Removexattr(w.path, attr)
		return
	}
	check(w.tb, unix.Setxattr(w.path, attr, []byte(id), 0))
}

func (w *world) getID() string {
	buf := make([]byte, 256)
	n, err := unix.Getxattr(w.path, attr, buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}
