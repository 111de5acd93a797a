package tracker_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/conformance/spooltest"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/tracker"
)

// fail makes all operations on the spools of a target fail.
func (w *world) fail(target string, err error) {
	w.inject = func(op fsx.Op, name string) error {
		if strings.Contains(name, target) {
			return &fs.PathError{Op: string(op), Path: name, Err: err}
		}
		return nil
	}
}

func TestTargetsAreIndependent(t *testing.T) {
	w := newT(t, targetA, targetB)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 6, 1) })
	w.uploaded()

	w.fail(targetB.ID, syscall.ENOSPC)
	sequence := w.manifest(targetB.ID).Sequence
	for i := range byte(3) {
		c.commit(func() { c.fill(int(i), 2, 10+i) })
		w.staged(targetA.ID)
		w.judge()
	}
	if got := w.manifest(targetB.ID).Sequence; got != sequence {
		t.Error("the failing target has a new snapshot")
	}
	h := w.health()
	if h.State != tracker.StateBehind || !errors.Is(h.LastError, syscall.ENOSPC) {
		t.Errorf("state is %s: %v", h.State, h.LastError)
	}
	if a, b := h.Targets[0], h.Targets[1]; a.State != tracker.StateOK || b.State != tracker.StateBehind || b.Failures != 3 {
		t.Errorf("targets: %+v", h.Targets)
	}
	w.inject = nil
	if w.repair() == 0 {
		t.Error("no repair is due")
	}
	w.uploaded()
	if h := w.health(); h.State != tracker.StateOK || h.LastError != nil {
		t.Errorf("state after the repair is %s: %v", h.State, h.LastError)
	}
	// A target that is added later gets everything.
	added := spool.Target{ID: "cccccccccccccccc"}
	w.targets = append(w.targets, added)
	remote := spooltest.NewRemote()
	w.remotes[added.ID] = remote
	w.toys[added.ID] = spooltest.NewToy(remote, func() (*spool.Consumer, error) { return w.good.Consumer(w.key(added.ID)) })
	w.restart()
	c = w.open(tracker.Normal)
	c.commit(func() { c.fill(3, 1, 77) })
	w.uploaded()
}

// While one target fails, reading costs nothing.
func TestReadersDoNotPayForFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newT(t, targetA, targetB)
		w.use(w.options(time.Second, time.Minute))
		c, what := w.watch(w.m, tracker.Normal)
		w.fail(targetB.ID, syscall.ENOSPC)
		c.commit(func() { c.fill(0, 4, 1) })
		what()
		for range 10 {
			if c.t.NeedsSnapshot() {
				t.Error("a reader is to take a snapshot before the retry is due")
			}
			c.unlock()
		}
		if got := what(); got != nothing {
			t.Errorf("readers read %s of the database", got)
		}
		w.inject = nil
		time.Sleep(2 * time.Second)
		if !c.t.NeedsSnapshot() {
			t.Error("no snapshot although the retry is due")
		}
		c.unlock()
		w.uploaded()
		if c.t.NeedsSnapshot() {
			t.Error("a snapshot is needed after the retry")
		}
	})
}

// options are like those of restart, but for the pauses.
func (w *world) options(least, most time.Duration) *tracker.Options {
	w.Helper()
	root, err := spool.OpenRoot(w.prefix, 0, &spool.Options{ScratchAge: -1, WrapFS: func(base fsx.FS) fsx.FS {
		return fsx.Faulty(base, func(op fsx.Op, name string) error {
			if w.inject != nil {
				return w.inject(op, name)
			}
			return nil
		})
	}})
	check(w.tb, err)
	return &tracker.Options{Root: root, Hostname: "host", Targets: w.targets, MinBackoff: least, MaxBackoff: most}
}

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newT(t)
		attempts := 0
		w.use(w.options(0, 0)) // the defaults
		c := w.open(tracker.Normal)
		w.m.Behind() // first sight
		w.inject = func(op fsx.Op, name string) error {
			attempts++
			return syscall.ENOSPC
		}
		c.commit(func() { c.fill(0, 4, 1) })
		if attempts == 0 {
			t.Fatal("the first attempt was not made")
		}
		var pauses []time.Duration
		last := time.Now()
		for len(pauses) < 9 {
			at, ok := w.m.NextDue()
			if !ok {
				t.Fatal("nothing is due")
			}
			// A commit before that costs nothing.
			attempts = 0
			c.commit(func() { c.fill(1, 1, 2) })
			if got := w.m.Behind(); len(got) > 0 || attempts > 0 {
				t.Fatalf("%v before it is due: behind %v, %d attempts", time.Until(at), got, attempts)
			}
			time.Sleep(time.Until(at))
			pauses = append(pauses, time.Since(last).Round(time.Millisecond))
			last = time.Now()
			if got := w.m.Behind(); !slices.Equal(got, []string{w.path}) {
				t.Fatalf("behind: %v", got)
			}
			if got := w.m.Behind(); len(got) > 0 {
				t.Fatalf("behind again at once: %v", got)
			}
			w.visit(tracker.Eager)
		}
		for i, p := range pauses {
			base := min(time.Second<<i, time.Minute)
			if p < base*3/4 || p > base*5/4+time.Millisecond {
				t.Errorf("pause %d was %v, want about %v", i, p, base)
			}
		}
		w.inject = nil
		c.commit(func() { c.fill(1, 1, 3) }) // not due
		at, _ := w.m.NextDue()
		time.Sleep(time.Until(at))
		c.commit(func() { c.fill(1, 1, 4) }) // due
		w.uploaded()
		if at, ok := w.m.NextDue(); ok {
			t.Errorf("after success a repair is due at %v", at)
		}
	})
}

func TestFirstSight(t *testing.T) {
	w := newT(t)
	stock := w.openWith(tracker.New(nil), tracker.Normal)
	stock.commit(func() { stock.fill(0, 4, 1) })
	for range 3 {
		c, what := w.watch(w.m, tracker.Normal)
		if c.t.NeedsSnapshot() {
			t.Error("a reader is to take a snapshot")
		}
		c.unlock()
		if got := what(); got != nothing {
			t.Errorf("a reader read %s of the database", got)
		}
		c.close()
	}
	if infos, _ := w.good.Spools(); len(infos) > 0 {
		t.Errorf("a reader made spools: %v", infos)
	}
	select {
	case <-w.m.Wake():
	default:
		t.Error("nobody was woken")
	}
	if h := w.health(); h.State != tracker.StateUnknown {
		t.Errorf("state is %s", h.State)
	}
	if got := w.m.Behind(); !slices.Equal(got, []string{w.path}) {
		t.Fatalf("behind: %v", got)
	}
	if got := w.m.Behind(); len(got) > 0 {
		t.Errorf("behind again: %v", got)
	}
	w.visit(tracker.Eager)
	w.uploaded()
	if got := w.notes[targetA.ID]; got != 1 {
		t.Errorf("%d notifications, want 1", got)
	}
	// The next write needs no second full snapshot, also of a file that had no version id.
	c, what := w.watch(w.m, tracker.Normal)
	for n := 4; n < chunks; n++ {
		c.commit(func() { c.fill(n, 1, 1) })
		if n == 4 && what() == all {
			t.Error("the second snapshot is full again")
		}
	}
	w.uploaded()
}

func TestFirstSightOfFileWithoutID(t *testing.T) {
	w := newT(t)
	check(t, os.WriteFile(w.path, append(w.nextHeader(), pattern(chunks*chunk-100, 1, 1)...), 0o600))
	w.peak = chunks * chunk
	w.visit(tracker.Eager)
	c, what := w.watch(w.m, tracker.Normal)
	c.commit(func() { c.fill(5, 1, 1) })
	if got := what(); got != some {
		t.Errorf("the second snapshot read %s of the database", got)
	}
	w.uploaded()
}

func TestUntracked(t *testing.T) {
	w := newT(t)
	for _, c := range []struct {
		name string
		opts *tracker.Options
	}{
		{"nil", nil},
		{"no root", &tracker.Options{Targets: w.targets}},
		{"no targets", &tracker.Options{Root: w.good}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := tracker.New(c.opts)
			conn := w.openWith(m, tracker.Eager)
			defer conn.close()
			if err := conn.t.Untracked(); !errors.Is(err, tracker.ErrUntracked) {
				t.Errorf("Untracked: %v", err)
			}
			seen := map[string]bool{w.getID(): true}
			for range 3 {
				conn.t.LockedExclusive()
				conn.write(0, []byte("x"))
				id := w.getID()
				if len(id) != 36 || seen[id] {
					t.Errorf("version id %q", id)
				}
				seen[id] = true
				conn.write(5, []byte("x"))
				conn.truncate(7)
				if w.getID() != id {
					t.Error("the version id changed within a transaction")
				}
				if conn.t.NeedsSnapshot() {
					t.Error("a snapshot is needed")
				}
				conn.t.Snapshot(tracker.Shared)
			}
			if _, err := conn.t.Current(); !errors.Is(err, tracker.ErrUntracked) {
				t.Errorf("Current: %v", err)
			}
			if _, ok := m.Health(w.path); ok || len(m.All()) > 0 || len(m.Keys(w.path)) > 0 {
				t.Error("an untracked database has a health")
			}
			if _, err := m.StagedFor(w.path); !errors.Is(err, tracker.ErrUntracked) {
				t.Errorf("StagedFor: %v", err)
			}
		})
	}
}

// A spool that cannot be opened makes the database untracked until it can.
func TestSpoolCannotBeOpened(t *testing.T) {
	w := newT(t)
	w.inject = func(fsx.Op, string) error { return syscall.EACCES }
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 4, 1) })
	h := w.health()
	if h.State != tracker.StateUntracked || !errors.Is(h.LastError, fs.ErrPermission) {
		t.Errorf("state is %s: %v", h.State, h.LastError)
	}
	w.inject = nil
	w.repair()
	if h := w.health(); h.State != tracker.StateOK {
		t.Errorf("state is %s: %v", h.State, h.LastError)
	}
	w.uploaded()
}

func TestNotAFile(t *testing.T) {
	w := newT(t)
	r, _, err := os.Pipe()
	check(t, err)
	c := &conn{File: r, w: w}
	c.t = w.m.Track("/pipe", c, tracker.Normal)
	if c.t.Untracked() == nil {
		t.Error("a pipe is tracked")
	}
	if h, ok := w.m.Health("/pipe"); !ok || h.State != tracker.StateUntracked || h.LastError == nil {
		t.Errorf("health of a pipe: %+v, %v", h, ok)
	}
}

func TestSymlink(t *testing.T) {
	w := newT(t)
	link := w.path + "-link"
	check(t, os.Symlink(w.path, link))
	f, err := os.OpenFile(link, os.O_RDWR, 0)
	check(t, err)
	c := &conn{File: f, w: w}
	c.t = w.m.Track(link, c, tracker.Normal)
	c.commit(func() { c.fill(0, 4, 1) })
	w.uploaded()
	if h, ok := w.m.Health(link); !ok || h.Path != w.path {
		t.Errorf("health of the link: %+v, %v", h, ok)
	}
}

func TestReplacedFile(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 4, 1) })
	w.repair()
	old := w.key(targetA.ID)
	w.inject = func(fsx.Op, string) error { return syscall.ENOSPC }
	c.commit(func() { c.fill(0, 4, 2) })
	w.inject = nil
	check(t, os.Rename(w.path, w.path+".old"))
	check(t, os.WriteFile(w.path, nil, 0o600))
	if got := w.m.Behind(); len(got) > 0 {
		t.Errorf("behind after the file was replaced: %v", got)
	}
	if got := len(w.m.All()); got != 1 {
		t.Errorf("%d databases are known while one is open, want 1", got)
	}
	n := w.open(tracker.Normal)
	n.commit(func() { n.fill(0, 3, 3) })
	w.repair() // which also cleans up
	w.uploaded()
	if _, err := os.Stat(filepath.Join(w.good.Dir(), filepath.FromSlash(old.String()))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the spool of the file that was replaced: %v", err)
	}
	c.commit(func() { c.fill(0, 4, 4) }) // it may still be written
	c.close()
	check(t, os.Remove(w.path))
	n.close()
	w.inject = nil
}

func TestPanic(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 4, 1) })
	bad := &panicking{conn: c}
	bad.on = true
	c.t = w.m.Track(w.path, bad, tracker.Normal)
	c.commit(func() { c.fill(1, 1, 2) })
	h := w.health()
	if h.State != tracker.StateBehind || !errors.Is(h.LastError, tracker.ErrPanic) {
		t.Errorf("state is %s: %v", h.State, h.LastError)
	}
	if _, err := c.t.Current(); !errors.Is(err, tracker.ErrPanic) {
		t.Errorf("Current: %v", err)
	}
	bad.on = false
	w.repair()
	w.uploaded()
	c.commit(func() { c.fill(1, 1, 3) })
	w.uploaded()
}

type panicking struct {
	*conn
	on bool
}

func (p *panicking) ReadAt(b []byte, off int64) (int, error) {
	if p.on {
		panic("bug")
	}
	return p.conn.ReadAt(b, off)
}

func TestUnreadableDatabase(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 6, 1) })
	for _, at := range []int64{0, 3 * chunk} {
		bad := &failing{conn: c, at: at}
		c.t = w.m.Track(w.path, bad, tracker.Normal)
		w.setID("x") // so that all is read
		c.commit(func() { c.fill(1, 1, 2) })
		if h := w.health(); h.State != tracker.StateBehind || !errors.Is(h.LastError, syscall.EIO) {
			t.Errorf("state is %s: %v", h.State, h.LastError)
		}
		w.judge()
		bad.at = -1
		w.repair()
		w.uploaded()
	}
}

type failing struct {
	*conn
	at int64
}

func (f *failing) ReadAt(b []byte, off int64) (int, error) {
	if off == f.at {
		return 0, syscall.EIO
	}
	return f.conn.ReadAt(b, off)
}

// A database that changes under its lock is not taken for a state that existed.
func TestChangeUnderLock(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	bad := &changing{conn: c}
	c.t = w.m.Track(w.path, bad, tracker.Normal)
	c.commit(func() {
		c.fill(0, 6, 1)
		bad.on = true
	})
	if h := w.health(); h.State != tracker.StateBehind || !errors.Is(h.LastError, tracker.ErrChanged) {
		t.Errorf("state is %s: %v", h.State, h.LastError)
	}
	w.repair()
	w.uploaded()
}

type changing struct {
	*conn
	on bool
}

func (c *changing) ReadAt(b []byte, off int64) (int, error) {
	if c.on && off == 2*chunk {
		c.on = false
		_, err := c.File.WriteAt(c.w.nextHeader(), 0)
		check(c.w.tb, err)
	}
	return c.File.ReadAt(b, off)
}

func TestCurrent(t *testing.T) {
	w := newT(t, targetA, targetB)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 4, 1) })
	current := func() (got []bool) {
		t.Helper()
		infos, err := c.t.Current()
		check(t, err)
		for i, info := range infos {
			if info.Key != w.m.Keys(w.path)[i] || info.Name != w.name() {
				t.Errorf("info %+v", info)
			}
			if info.Err == nil {
				m := w.manifest(info.Key.Target)
				if info.Sequence != m.Sequence || info.Header != m.Header || info.Size != m.Size || string(info.VersionID) != string(m.VersionID) {
					t.Errorf("info %+v of manifest %+v", info, m)
				}
			}
			got = append(got, info.Current)
		}
		return got
	}
	if got := current(); !slices.Equal(got, []bool{true, true}) {
		t.Errorf("after a commit: %v", got)
	}
	w.fail(targetB.ID, syscall.ENOSPC)
	c.commit(func() { c.fill(1, 1, 2) })
	if got := current(); !slices.Equal(got, []bool{true, false}) {
		t.Errorf("after a failure: %v", got)
	}
	stock := w.openWith(tracker.New(nil), tracker.Normal)
	stock.commit(func() { stock.fill(1, 1, 3) })
	if got := current(); !slices.Equal(got, []bool{false, false}) {
		t.Errorf("after a write of a stranger: %v", got)
	}
	w.inject = nil
	infos, err := w.m.StagedFor(w.path)
	check(t, err)
	for _, info := range infos {
		if info.Err != nil || info.Current || info.Sequence == 0 {
			t.Errorf("staged: %+v", info)
		}
	}
	check(t, os.RemoveAll(w.prefix))
	for _, info := range must(c.t.Current()) {
		if !errors.Is(info.Err, fs.ErrNotExist) {
			t.Errorf("staged in a spool that is gone: %+v", info)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestClosedManager(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 4, 1) })
	w.repair()
	check(t, w.m.Close())
	before := w.manifest(targetA.ID).Sequence
	c.commit(func() { c.fill(1, 1, 2) })
	if got := w.manifest(targetA.ID).Sequence; got != before {
		t.Error("a snapshot was taken after Close")
	}
	if n := w.repair(); n != 0 {
		t.Errorf("%d repairs after Close", n)
	}
	if err := w.open(tracker.Normal).t.Untracked(); err == nil {
		t.Error("a database is tracked after Close")
	}
	c.close()
	w.restart()
	w.visit(tracker.Normal)
	w.repair()
	w.uploaded()
}

// Connections of one process share a Manager, from many goroutines.
func TestConcurrency(t *testing.T) {
	w := newT(t, targetA, targetB)
	var lock sync.RWMutex // SQLite's
	var wg sync.WaitGroup
	f, err := os.OpenFile(w.path, os.O_RDWR, 0)
	check(t, err)
	check(t, f.Truncate(8*chunk))
	w.peak = 8 * chunk
	stop := make(chan struct{})
	for g := range byte(4) {
		wg.Go(func() {
			for i := range byte(30) {
				f, err := os.OpenFile(w.path, os.O_RDWR, 0)
				if err != nil {
					t.Error(err)
					return
				}
				c := &conn{File: f, w: w}
				c.t = w.m.Track(w.path, c, tracker.Mode(i%2))
				lock.Lock()
				c.t.LockedExclusive()
				off := int64(1+(g+i)%7) * chunk
				c.t.WillWrite(off, chunk)
				_, werr := f.WriteAt(pattern(chunk, g, i), off)
				header := w.nextHeader()
				c.t.WillWrite(0, len(header))
				_, herr := f.WriteAt(header, 0)
				lock.Unlock()
				if err := errors.Join(werr, herr); err != nil {
					t.Error(err)
				}
				// The downgrade; others may come in between here, as with broken locks.
				lock.RLock()
				c.unlock()
				lock.RUnlock()
				c.t.Close()
				f.Close()
			}
		})
	}
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				w.m.Health(w.path)
				w.m.Behind()
				w.m.NextDue()
				w.m.All()
				if _, err := w.m.StagedFor(w.path); err != nil && !errors.Is(err, tracker.ErrUntracked) {
					t.Error(err)
				}
				w.m.Desync(w.key(targetB.ID), nil)
			}
		}
	})
	wg.Wait()
	close(stop)
	readers.Wait()
	w.visit(tracker.Eager)
	w.uploaded()
}

// What a snapshot allocates does not grow with the database, but for the list of fingerprints.
func TestMemoryIsBounded(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	const size = 1 << 30
	c.t.LockedExclusive()
	c.truncate(size)
	c.header()
	var got int64
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			w.setID("x")
			c.t.LockedExclusive()
			c.header()
			c.unlock()
		}
	})
	got = allocated.AllocedBytesPerOp()
	list := int64(size / chunk * 16)
	if limit := 16*list + 4<<20; got > limit {
		t.Errorf("a full snapshot of 1 GiB allocates %d bytes, want at most %d", got, limit)
	}
	if n := w.manifest(targetA.ID).Chunks; len(n) != size/chunk || n[1] != manifest.ZeroChunk {
		t.Errorf("the manifest has %d chunks", len(n))
	}
}

func TestWillWriteDoesNotAllocate(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.t.LockedExclusive()
	c.t.WillWrite(0, 100*chunk)
	i := int64(0)
	if got := testing.AllocsPerRun(1000, func() {
		i = (i + 7) % 100
		c.t.WillWrite(i*chunk+4096, 4096)
	}); got > 0 {
		t.Errorf("WillWrite allocates %v times", got)
	}
}
