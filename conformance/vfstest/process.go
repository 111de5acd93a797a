package vfstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// request is what the suite asks of a helper process; one line of JSON.
type request struct {
	Op     string // open, exec, query, lock, unlock, reserved, close
	Path   string
	Params string
	SQL    string
	Lock   vfs.LockLevel
	Times  int // of exec
}

// reply is the answer; one line of JSON.
type reply struct {
	Rows string
	Yes  bool
	Busy bool
	Err  string
}

// serve is the helper: one connection, used as told.
func serve(in io.Reader, out io.Writer, open Open) int {
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	var conn *sqlite3.Conn
	for {
		var q request
		if err := dec.Decode(&q); err != nil {
			return 0 // the suite has gone
		}
		var a reply
		err := answer(&conn, open, q, &a)
		if err != nil {
			a.Err, a.Busy = err.Error(), errors.Is(err, sqlite3.BUSY)
		}
		if err := enc.Encode(a); err != nil {
			return 1
		}
	}
}

func answer(conn **sqlite3.Conn, open Open, q request, a *reply) (err error) {
	if q.Op == "open" {
		if *conn, err = open(q.Path, q.Params); err != nil {
			return err
		}
		return (*conn).BusyTimeout(patience)
	}
	if *conn == nil {
		return errors.New("nothing is open")
	}
	switch q.Op {
	case "exec":
		for range max(q.Times, 1) {
			if err := (*conn).Exec(q.SQL); err != nil {
				return err
			}
		}
		return nil
	case "query":
		a.Rows, err = rows(*conn, q.SQL)
		return err
	case "close":
		err, *conn = (*conn).Close(), nil
		return err
	}
	p, err := (*conn).FileControl("main", sqlite3.FCNTL_FILE_POINTER)
	if err != nil {
		return err
	}
	switch q.Op {
	case "lock":
		return p.(vfs.File).Lock(q.Lock)
	case "unlock":
		return p.(vfs.File).Unlock(q.Lock)
	case "reserved":
		a.Yes, err = p.(vfs.File).CheckReservedLock()
		return err
	}
	return fmt.Errorf("unknown request %q", q.Op)
}

// process is another process with a connection.
type process struct {
	t   testing.TB
	cmd *exec.Cmd
	in  *json.Encoder
	out *json.Decoder
}

// start starts a helper that opens the database.
func start(t testing.TB, path, params string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), envHelper+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t, cmd, json.NewEncoder(in), json.NewDecoder(out)}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // an error, if it was killed
	})
	if a := p.ask(request{Op: "open", Path: path, Params: params}); a.Err != "" {
		t.Fatal(a.Err)
	}
	return p
}

func (p *process) ask(q request) (a reply) {
	p.t.Helper()
	if err := p.in.Encode(q); err != nil {
		p.t.Fatalf("ask helper: %v", err)
	}
	if err := p.out.Decode(&a); err != nil {
		p.t.Fatalf("answer of helper to %+v: %v", q, err)
	}
	return a
}

// must asks for what has to succeed.
func (p *process) must(q request) reply {
	p.t.Helper()
	a := p.ask(q)
	if a.Err != "" {
		p.t.Fatalf("helper: %+v: %s", q, a.Err)
	}
	return a
}

func (p *process) exec(sql string) {
	p.t.Helper()
	p.must(request{Op: "exec", SQL: sql})
}

func (p *process) wantRows(sql, want string) {
	p.t.Helper()
	if got := p.must(request{Op: "query", SQL: sql}).Rows; got != want {
		p.t.Errorf("helper: %s: got %s, want %s", sql, got, want)
	}
}

// kill ends the process as a crash would.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	_ = p.cmd.Wait() // an error, since it was killed
}
