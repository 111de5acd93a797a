//go:build linux

package users

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"golang.org/x/sys/unix"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store/target"
)

// A child is this test binary again, with an order in its environment. It prints a report.
const envOrder = "BOULE_USERS_ORDER"

type order struct {
	Do     string // of doing
	DB     []byte // a string need not survive JSON
	Spool  string
	Perm   uint32
	Target *target.Target
	Cache  string // of the compiled SQLite
	Writes int
	Mount  string // options of a tmpfs to mount at the spool's parent first
	Look   []string
	Deny   bool // the network, by a filter of system calls that fails them
}

type report struct {
	Err     string        // what should have worked did not
	Flush   string        // error of the flush
	Pragma  string        // PRAGMA boule_replication_status
	Warning string        // of boule.Status
	Logged  string        // warnings and errors
	Slowest time.Duration // of all that the application does
	Staged  int           // spools with a manifest
	Calls   []string      // what a spy could do
}

var doing = map[string]func(context.Context, *order, *report) error{
	"write":  write,
	"commit": commit,
	"socket": socket,
	"spy":    spy,
}

func (o *order) config(log io.Writer) *boule.Config {
	return &boule.Config{
		Hostname: "users.example.com", SpoolDir: o.Spool, SpoolPermissions: o.Perm, CacheDir: o.Cache,
		Targets: []target.Target{*o.Target}, DrainTimeout: -1,
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// child is the main function of a child.
func child(text string) int {
	unix.Umask(0o077) // the most that a user can do to stand in the way
	var o order
	var r report
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = doing[o.Do](context.Background(), &o, &r)
	}
	if err != nil {
		r.Err = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(&r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// write makes some transactions, reads, and then has everything uploaded.
func write(ctx context.Context, o *order, r *report) error {
	if o.Mount != "" {
		if err := mount(o); err != nil {
			return err
		}
	}
	if o.Deny {
		if err := filterSockets(denySockets); err != nil {
			return err
		}
	}
	var log bytes.Buffer
	db := string(o.DB)
	cfg := o.config(&log)
	rep, err := boule.New(cfg)
	if err != nil {
		return err
	}
	timed := func(f func() error) error {
		start := time.Now()
		err := f()
		r.Slowest = max(r.Slowest, time.Since(start))
		return err
	}
	var conn *sqlite3.Conn
	if err := timed(func() (err error) {
		conn, err = rep.OpenConn(ctx, db, sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE)
		return err
	}); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := conn.BusyTimeout(time.Minute); err != nil {
		return err
	}
	exec := func(sql string) error { return timed(func() error { return conn.Exec(sql) }) }
	if err := exec(`CREATE TABLE IF NOT EXISTS t(uid, n, body)`); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	for i := range o.Writes {
		if err := exec(fmt.Sprintf(`INSERT INTO t VALUES (%d, %d, randomblob(5000))`, os.Getuid(), i)); err != nil {
			return fmt.Errorf("write %d: %w", i, err)
		}
	}
	if err := exec(`SELECT sum(length(body)) FROM t`); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	stmt, _, err := conn.Prepare(`PRAGMA boule_replication_status`)
	if err != nil {
		return err
	}
	if stmt.Step() {
		r.Pragma = stmt.ColumnText(0)
	}
	if err := stmt.Close(); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if o.Target.File != nil {
		if err := rep.Flush(within, db); err != nil {
			r.Flush = err.Error()
		}
		all, err := boule.Status(within, cfg, db)
		if err != nil || len(all) != 1 {
			return fmt.Errorf("status: %v, %w", all, err)
		}
		r.Warning = all[0].Warning
	}
	if err := timed(conn.Close); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	patience, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if err := timed(func() error { return rep.Close(patience) }); o.Target.File == nil && !errors.Is(err, boule.ErrBehind) {
		return fmt.Errorf("close without a store: %w", err)
	}
	r.Logged = log.String()
	return r.count(o)
}

// count counts the spools in which something is staged.
func (r *report) count(o *order) error {
	root, err := spool.OpenRoot(o.Spool, 0, nil)
	if err != nil {
		return err
	}
	infos, err := root.Spools()
	for _, info := range infos {
		if info.Staged.Manifests > 0 {
			r.Staged++
		}
	}
	if o.Target != nil && o.Target.File != nil {
		return nil // it need not be usable
	}
	return err
}

// mount gives the child a small filesystem of its own for the spool.
func mount(o *order) error {
	dir := filepath.Dir(o.Spool)
	var flags uintptr
	data := o.Mount
	if strings.HasPrefix(data, "ro") {
		flags, data = unix.MS_RDONLY, ""
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, data); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if flags != 0 {
		return nil
	}
	err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 1<<20), 0o600)
	if !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("the filesystem did not become full: %w", err)
	}
	return nil
}

// spy tries what nobody else may do.
func spy(_ context.Context, o *order, r *report) error {
	could := func(what, path string, err error) {
		if err == nil {
			r.Calls = append(r.Calls, what+" "+path)
		} else if !errors.Is(err, fs.ErrPermission) {
			r.Calls = append(r.Calls, fmt.Sprintf("%s %s: %v", what, path, err))
		}
	}
	for _, path := range o.Look {
		if strings.HasSuffix(path, "/") {
			_, err := os.ReadDir(path)
			could("list", path, err)
			could("create in", path, os.WriteFile(path+"planted", nil, 0o600))
			continue
		}
		_, err := os.ReadFile(path)
		could("read", path, err)
		could("remove", path, os.Remove(path))
		could("replace", path, os.WriteFile(path, nil, 0o600))
	}
	return nil
}

var (
	exe   string // this program, where everybody can run it
	cache string // the compiled SQLite
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if text := os.Getenv(envOrder); text != "" {
		return child(text)
	}
	dir, err := os.MkdirTemp("", "boule-users-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	exe, cache = filepath.Join(dir, "exe"), filepath.Join(dir, "wasm")
	if err := prepare(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// prepare copies the program, and compiles SQLite once.
func prepare(dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if out, err := exec.Command("cp", self, exe).CombinedOutput(); err != nil {
		return fmt.Errorf("copy: %w: %s", err, out)
	}
	if err := os.Chmod(exe, 0o755); err != nil {
		return err
	}
	db, err := boule.Open(context.Background(), filepath.Join(dir, "first.db"), &boule.Config{CacheDir: cache})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.PingContext(context.Background())
}

// start starts a child, and returns what waits for its report.
func start(t *testing.T, o order, attr *syscall.SysProcAttr) func() report {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	cmd := exec.CommandContext(ctx, exe)
	cmd.Dir = "/"
	cmd.Env = []string{envOrder + "=" + string(text), "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret", "HOME=/nonexistent"}
	cmd.SysProcAttr = attr
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatalf("start: %v", err)
	}
	return func() report {
		t.Helper()
		defer cancel()
		var r report
		if err := errors.Join(cmd.Wait(), json.Unmarshal(out.Bytes(), &r)); err != nil {
			t.Fatalf("%v\n%s\n%s", err, out.Bytes(), errs.Bytes())
		}
		return r
	}
}
