package tracker_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/boule-db/boule/tracker"
	"golang.org/x/sys/unix"
)

// nobody is a user whom file permissions concern.
const nobody = 65534

// unprivileged lets file permissions concern this goroutine, and gives it all that t.TempDir made.
func (w *world) unprivileged(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	check(t, filepath.WalkDir(filepath.Dir(filepath.Dir(w.path)), func(path string, _ fs.DirEntry, err error) error {
		check(t, err)
		return os.Lchown(path, nobody, nobody)
	}))
	runtime.LockOSThread()
	t.Cleanup(func() {
		_, err := unix.SetfsuidRetUid(0)
		check(t, err)
		runtime.UnlockOSThread()
	})
	_, err := unix.SetfsuidRetUid(nobody)
	check(t, err)
}

// A journal of another user can't be read between its creation, which the umask narrows, and the fchmod that
// follows. Its writer holds RESERVED then, or has ended a moment later.
func TestJournalOfAnotherUser(t *testing.T) {
	for _, c := range []struct {
		name     string
		do       func(w *world)
		reserved bool
		calls    int
		want     bool
	}{
		{"just made", func(*world) {}, true, 1, true},
		{"deleted meanwhile", (*world).unjournal, false, 1, true},
		{"readable meanwhile", func(w *world) { check(w.tb, os.Chmod(w.path+"-journal", 0o600)) }, false, 1, true},
		{"stays unreadable", func(*world) {}, false, 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newT(t)
			conn := w.open(tracker.Normal)
			conn.commit(func() { conn.fill(0, 4, 1) })
			before := w.manifest(targetA.ID).Sequence
			w.journal(nil)
			w.unprivileged(t)
			check(t, os.Chmod(w.path+"-journal", 0))
			f := &reserving{conn: conn, do: func() { c.do(w) }, reserved: c.reserved}
			conn.t = w.m.Track(w.path, f, tracker.Normal)
			conn.commit(func() { conn.fill(1, 1, 2) })
			if f.calls != c.calls {
				t.Errorf("the lock was checked %d times, want %d", f.calls, c.calls)
			}
			if got := w.manifest(targetA.ID).Sequence > before; got != c.want {
				t.Errorf("a snapshot was taken: %v, want %v: %v", got, c.want, w.health().LastError)
			}
		})
	}
}
