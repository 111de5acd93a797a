//go:build linux

package users

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
	"golang.org/x/sys/unix"

	"github.com/boule-db/boule/host"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store/target"
	"github.com/boule-db/boule/tracker"
	"github.com/boule-db/boule/wasmvfs"
)

const (
	killOnSocket = unix.SECCOMP_RET_KILL_PROCESS
	denySockets  = unix.SECCOMP_RET_ERRNO | uint32(unix.ENETUNREACH)
)

// filterSockets makes every system call by which a network could be used end as verdict says, in all
// threads and for good.
func filterSockets(verdict uint32) error {
	calls := []uint32{unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_SENDTO, unix.SYS_SENDMSG}
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the number of the call
	for i, nr := range calls {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jt: uint8(len(calls) - i)})
	}
	filter = append(filter,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: verdict})
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up privileges: %w", err)
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return fmt.Errorf("install filter: %w", errno)
	}
	return nil
}

// commit does what an application does, with all that runs inside of SQLite's calls and without a
// copier, in a process that dies of its first socket.
func commit(_ context.Context, o *order, r *report) error {
	if err := host.Init(&host.Options{CacheDir: o.Cache}); err != nil {
		return err
	}
	root, err := spool.OpenRoot(o.Spool, 0, nil)
	if err != nil {
		return err
	}
	spec, err := json.Marshal(o.Target)
	if err != nil {
		return err
	}
	manager := tracker.New(&tracker.Options{Root: root, Hostname: "users.example.com", Coalesce: -1, Targets: []spool.Target{{ID: o.Target.ID(), Spec: spec}}})
	vfs.Register("commit", wasmvfs.New(manager, nil))
	if err := filterSockets(killOnSocket); err != nil {
		return err
	}
	for range 2 { // a new database, and an existing one
		conn, err := sqlite3.Open("file:" + string(o.DB) + "?vfs=commit")
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		for _, sql := range []string{
			`CREATE TABLE IF NOT EXISTS t(body)`,
			`INSERT INTO t VALUES (randomblob(300000))`,
			`BEGIN; INSERT INTO t VALUES (randomblob(300000)); ROLLBACK`,
			`UPDATE t SET body = randomblob(200000)`,
			`SELECT sum(length(body)) FROM t`,
			`VACUUM`,
		} {
			if err := conn.Exec(sql); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
		}
		if err := conn.Close(); err != nil {
			return fmt.Errorf("close: %w", err)
		}
	}
	return r.count(o)
}

// socket dies of its first socket.
func socket(context.Context, *order, *report) error {
	if err := filterSockets(killOnSocket); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	return l.Close()
}

func s3(endpoint string) *target.Target {
	return &target.Target{S3: &target.S3{Region: "us-east-1", Endpoint: endpoint, Bucket: "bucket"}}
}

func networkPlace(t *testing.T, endpoint string) order {
	t.Helper()
	dir := t.TempDir()
	return order{
		Do: "write", DB: []byte(filepath.Join(dir, "app.db")), Spool: filepath.Join(dir, "spool"),
		Target: s3(endpoint), Cache: cache, Writes: 30,
	}
}

// All that SQLite waits for happens without a system call that has to do with a network: the
// kernel would kill the process at the first.
func TestCommitMakesNoSocket(t *testing.T) {
	o := networkPlace(t, "http://192.0.2.1:9")
	o.Do = "commit"
	if r := start(t, o, nil)(); r.Err != "" || r.Staged != 1 {
		t.Errorf("%q; %d spools, want 1", r.Err, r.Staged)
	}
	// And it does kill.
	text, err := json.Marshal(order{Do: "socket"})
	check(t, err)
	p, err := os.StartProcess(exe, []string{exe}, &os.ProcAttr{Env: []string{envOrder + "=" + string(text)}, Files: []*os.File{nil, nil, nil}})
	check(t, err)
	state, err := p.Wait()
	check(t, err)
	if ws := state.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != unix.SIGSYS {
		t.Errorf("a process that opens a socket ends with %v, want it killed", state)
	}
}

// Without any network, and with one that swallows everything, an application opens, writes, reads and closes
// a database that replicates to S3; nothing of that takes as long as a network makes one wait.
func TestApplicationWithoutNetwork(t *testing.T) {
	const limit = 10 * time.Second // the machine may be busy; an S3 client gives up after more
	blackHole, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer blackHole.Close() // nobody ever accepts
	for what, c := range map[string]struct {
		endpoint string
		setup    func(*order) *syscall.SysProcAttr
	}{
		"no interfaces": {"http://192.0.2.1:9", func(o *order) *syscall.SysProcAttr {
			if a := ownNetwork(); a != nil {
				return a
			}
			o.Deny = true // the nearest to a namespace where there may be none
			return nil
		}},
		"no sockets":  {"http://192.0.2.1:9", func(o *order) *syscall.SysProcAttr { o.Deny = true; return nil }},
		"black hole":  {"http://" + blackHole.Addr().String(), func(*order) *syscall.SysProcAttr { return nil }},
		"closed port": {"http://127.0.0.1:1", func(*order) *syscall.SysProcAttr { return nil }},
	} {
		t.Run(what, func(t *testing.T) {
			o := networkPlace(t, c.endpoint)
			attr := c.setup(&o)
			r := start(t, o, attr)()
			if r.Err != "" || r.Staged != 1 {
				t.Errorf("%q; %d spools, want 1", r.Err, r.Staged)
			}
			if r.Slowest > limit {
				t.Errorf("the application had to wait for %v", r.Slowest)
			}
			if !strings.Contains(r.Pragma, `"state":"ok"`) {
				t.Errorf("staging: %s", r.Pragma)
			}
			t.Logf("slowest call: %v", r.Slowest)
		})
	}
}

// ownNetwork gives a child a network of its own, in which there is nothing; nil where that is forbidden.
func ownNetwork() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	for range 2 {
		p, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{Sys: a})
		if err == nil {
			_, _ = p.Wait()
			return a
		}
		inOwnNamespace(a)
	}
	return nil
}
