package shell_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/embed"

	"github.com/boule-db/boule/cmd/boule/internal/shell"
)

func open(t testing.TB, name string) *sqlite3.Conn {
	t.Helper()
	conn, err := sqlite3.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("close: %v", err) // a statement was left open
		}
	})
	return conn
}

// result is what a run printed and returned.
type result struct {
	Out, Err string
	Error    error
}

func runArgs(t testing.TB, conn *sqlite3.Conn, opts *shell.Options, args ...string) result {
	t.Helper()
	var o shell.Options
	if opts != nil {
		o = *opts
	}
	var out, stderr bytes.Buffer
	o.Stdout, o.Stderr = &out, &stderr
	err := shell.New(conn, &o).RunArgs(context.Background(), args)
	return result{out.String(), stderr.String(), err}
}

func runScript(t testing.TB, conn *sqlite3.Conn, opts *shell.Options, script string) result {
	t.Helper()
	var o shell.Options
	if opts != nil {
		o = *opts
	}
	var out, stderr bytes.Buffer
	o.Stdout, o.Stderr, o.Stdin = &out, &stderr, strings.NewReader(script)
	err := shell.New(conn, &o).Run(context.Background())
	return result{out.String(), stderr.String(), err}
}

// mustRun runs a script that must not fail and returns what it prints.
func mustRun(t testing.TB, conn *sqlite3.Conn, opts *shell.Options, script string) string {
	t.Helper()
	r := runScript(t, conn, opts, script)
	if r.Error != nil || r.Err != "" {
		t.Fatalf("run: %v, stderr %q", r.Error, r.Err)
	}
	return r.Out
}

func diff(t testing.TB, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("mismatch (-want +got):\n%s", d)
	}
}

// stock returns the sqlite3 program, or "" if there is none.
func stock(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Log("no sqlite3 program to compare with")
		return ""
	}
	return path
}

// runStock runs the sqlite3 program on a script.
func runStock(t testing.TB, program, db, script string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, append(append([]string{"-batch", "-bail", "-init", os.DevNull}, args...), db)...)
	cmd.Stdin = strings.NewReader(script)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Fatalf("sqlite3: %v, stderr %q", err, stderr.String())
	}
	return out.String()
}

func TestArguments(t *testing.T) {
	for name, tc := range map[string]struct {
		opts *shell.Options
		args []string
		want string
	}{
		"several statements":   {args: []string{"CREATE TABLE t(a); INSERT INTO t VALUES(1),(2)", "SELECT * FROM t; SELECT count(*) FROM t"}, want: "1\n2\n2\n"},
		"a dot command":        {args: []string{".mode csv", ".headers on", "SELECT 1 AS a, 'x y' AS b"}, want: "a,b\r\n1,\"x y\"\r\n"},
		"lines of both":        {args: []string{".mode json\nSELECT 1 AS a;\n.mode list\nSELECT 2"}, want: "[{\"a\":1}]\n2\n"},
		"JSON wins":            {opts: &shell.Options{JSON: true, Mode: "csv"}, args: []string{"SELECT 1 AS a"}, want: "[{\"a\":1}]\n"},
		"headers":              {opts: &shell.Options{Headers: true}, args: []string{"SELECT 1 AS a, 2 AS b"}, want: "a|b\n1|2\n"},
		"echo":                 {opts: &shell.Options{Echo: true}, args: []string{"SELECT 1;SELECT 2 "}, want: "SELECT 1;\n1\nSELECT 2 \n2\n"},
		"only comments":        {args: []string{"-- nothing", "/* nothing */", "", " ;; "}, want: ""},
		"comments around":      {args: []string{"-- c\nSELECT 1 -- c\n; -- c"}, want: "1\n"},
		"quit":                 {args: []string{"SELECT 1", ".quit", "SELECT 2"}, want: "1\n"},
		"settings":             {args: []string{".separator ', ' '.\\n'", ".nullvalue NIL", "SELECT 1, NULL"}, want: "1, NIL.\n"},
		"mode resets":          {args: []string{".separator X", ".mode list", "SELECT 1, 2"}, want: "1|2\n"},
		"changes":              {args: []string{"CREATE TABLE t(a)", ".changes on", "INSERT INTO t VALUES(1),(2)"}, want: "changes: 2   total_changes: 2\n"},
		"print":                {args: []string{`.print a "b\tc" 'd\t'`}, want: "a b\tc d\\t\n"},
		"timeout":              {args: []string{".timeout 100", "PRAGMA busy_timeout"}, want: "100\n"},
		"current mode":         {args: []string{".mode"}, want: "current output mode: list\n"},
		"lone comment at end":  {args: []string{"SELECT 1; /* open"}, want: "1\n"},
		"byte order mark":      {args: []string{"\xef\xbb\xbf.mode json\nSELECT 1 AS a"}, want: "[{\"a\":1}]\n"},
		"binary in mode list":  {args: []string{"SELECT x'00ff0a', 'a' || char(0) || 'b'"}, want: "\x00\xff\n|a\x00b\n"},
		"rows of no statement": {opts: &shell.Options{JSON: true}, args: []string{"CREATE TABLE t(a); SELECT * FROM t; PRAGMA user_version=1"}, want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := runArgs(t, open(t, ":memory:"), tc.opts, tc.args...)
			if r.Error != nil || r.Err != "" {
				t.Fatalf("got %v, stderr %q", r.Error, r.Err)
			}
			diff(t, r.Out, tc.want)
		})
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	nested := filepath.Join(dir, "nested.sql")
	if err := os.WriteFile(nested, []byte("SELECT 7;\n\nSELECT nope;\nSELECT 8;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	loop := filepath.Join(dir, "loop.sql")
	if err := os.WriteFile(loop, []byte(".read '"+loop+"'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		opts   *shell.Options
		script string
		out    string
		stderr string
		error  string // of the first error
	}{
		"syntax": {
			script: "SELECT 1;\nSELECT\n  2 3 FROM;\nSELECT 4;", out: "1\n", error: `line 3: near "3": syntax error`,
			stderr: "Error: line 3: near \"3\": syntax error\n    2 3 FROM;\n      ^--- error here\n",
		},
		"wide text before the place": {
			script: "SELECT '日本\tx', nope;", error: "line 1: no such column: nope",
			stderr: "Error: line 1: no such column: nope\n  SELECT '日本␉x', nope;\n                   ^--- error here\n",
		},
		"constraint": {
			script: "CREATE TABLE t(a UNIQUE);\n\n INSERT INTO t\n VALUES(1),(1);", error: "line 3: UNIQUE constraint failed: t.a",
			stderr: "Error: line 3: UNIQUE constraint failed: t.a\n",
		},
		"goes on without bail": {
			opts: &shell.Options{Bail: -1}, script: "SELECT nope;SELECT 2;\n.nope\nSELECT 3;", out: "2\n3\n", error: "line 1: no such column: nope",
			stderr: "Error: line 1: no such column: nope\n  SELECT nope;\n         ^--- error here\n" +
				"Error: line 2: unknown command \".nope\"; \".help\" lists the commands\n",
		},
		"bail is switched off": {
			script: ".bail off\n.nope\nSELECT 3;", out: "3\n", error: `line 2: unknown command ".nope"; ".help" lists the commands`,
			stderr: "Error: line 2: unknown command \".nope\"; \".help\" lists the commands\n",
		},
		"arguments of a command": {script: ".read", error: "line 1: usage: .read FILE", stderr: "Error: line 1: usage: .read FILE\n"},
		"neither on nor off":     {script: ".bail perhaps", error: "line 1: usage: .bail on|off", stderr: "Error: line 1: usage: .bail on|off\n"},
		"open quote":             {script: ".print 'x", error: "line 1: missing closing '", stderr: "Error: line 1: missing closing '\n"},
		"mode": {
			script: ".mode xml", error: `line 1: .mode: unknown mode "xml": want list, csv, json or table`,
			stderr: "Error: line 1: .mode: unknown mode \"xml\": want list, csv, json or table\n",
		},
		"in a file": {
			script: "\n.read '" + nested + "'\nSELECT 9;", out: "7\n", error: "nested.sql:3: no such column: nope",
			stderr: "Error: nested.sql:3: no such column: nope\n  SELECT nope;\n         ^--- error here\n",
		},
		"in a file without bail": {
			opts: &shell.Options{Bail: -1}, script: ".read '" + nested + "'\nSELECT 9;", out: "7\n8\n9\n", error: "nested.sql:3: no such column: nope",
			stderr: "Error: nested.sql:3: no such column: nope\n  SELECT nope;\n         ^--- error here\n",
		},
		"files that read each other": {
			script: ".read '" + loop + "'", error: "loop.sql:1: .read: " + loop + ": more than 25 files read each other",
			stderr: "Error: loop.sql:1: .read: " + loop + ": more than 25 files read each other\n",
		},
		"end of the script in a statement": {
			script: "SELECT 1 +", error: "line 1: incomplete input", stderr: "Error: line 1: incomplete input\n",
		},
		"end in a literal": {
			script: "SELECT 1;\nSELECT 'x;", out: "1\n", error: `line 2: unrecognized token: "'x;"`,
			stderr: "Error: line 2: unrecognized token: \"'x;\"\n  SELECT 'x;\n         ^--- error here\n",
		},
		"NUL": {
			script: "SELECT 1;\nSELECT 2\x00;", out: "1\n", error: "line 2: SQL holds a NUL character",
			stderr: "Error: line 2: SQL holds a NUL character\n  SELECT 2␀;\n          ^--- error here\n",
		},
		"error after rows": {
			opts: &shell.Options{JSON: true}, script: "SELECT abs(column1) AS a FROM (VALUES (1), (-9223372036854775807 - 1))",
			out: "[{\"a\":1}]\n", error: "line 1: integer overflow", stderr: "Error: line 1: integer overflow\n",
		},
		"out of memory": {
			opts: &shell.Options{Bail: -1}, script: "PRAGMA hard_heap_limit=2000000;\nSELECT length(hex(randomblob(8000000)));\nSELECT 5;",
			out: "2000000\n5\n", error: "line 2: out of memory", stderr: "Error: line 2: out of memory\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn := open(t, ":memory:")
			r := runScript(t, conn, tc.opts, tc.script)
			diff(t, r.Out, tc.out)
			diff(t, r.Err, tc.stderr)
			var serr *shell.Error
			if !errors.As(r.Error, &serr) {
				t.Fatalf("got error %v, want a *shell.Error", r.Error)
			}
			diff(t, serr.Error(), tc.error)
		})
	}
}

func TestErrorsKeepTheirCode(t *testing.T) {
	r := runArgs(t, open(t, ":memory:"), nil, "CREATE TABLE t(a UNIQUE)", "INSERT INTO t VALUES(1),(1)")
	if !errors.Is(r.Error, sqlite3.CONSTRAINT_UNIQUE) {
		t.Errorf("got %v, want one that is CONSTRAINT_UNIQUE", r.Error)
	}
	diff(t, r.Error.Error(), "argument 2:1: UNIQUE constraint failed: t.a")
}

func TestUnknownModeIsAnError(t *testing.T) {
	r := runArgs(t, open(t, ":memory:"), &shell.Options{Mode: "xml"}, "SELECT 1")
	if r.Error == nil || r.Out != "" {
		t.Errorf("got %v and output %q, want an error alone", r.Error, r.Out)
	}
}

func TestOpenTransactionIsToldOf(t *testing.T) {
	conn := open(t, ":memory:")
	r := runArgs(t, conn, nil, "BEGIN; CREATE TABLE t(a)")
	if r.Error != nil || !strings.Contains(r.Err, "transaction left open") {
		t.Errorf("got %v, stderr %q, want a warning", r.Error, r.Err)
	}
	r = runArgs(t, conn, nil, "COMMIT")
	diff(t, r, result{})
}

// brokenWriter takes a few writes.
type brokenWriter struct {
	left int
	err  error
}

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, w.err
	}
	return len(p), nil
}

const endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c"

func TestOutputThatFails(t *testing.T) {
	disk := errors.New("no space")
	for name, tc := range map[string]struct{ err, want error }{
		"closed pipe":      {&os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}, nil},
		"closed Go pipe":   {io.ErrClosedPipe, nil},
		"any other reason": {disk, disk},
	} {
		for _, mode := range []string{"list", "csv", "json", "table"} {
			t.Run(name+"/"+mode, func(t *testing.T) {
				var stderr bytes.Buffer
				s := shell.New(open(t, ":memory:"), &shell.Options{Mode: mode, Stdout: &brokenWriter{2, tc.err}, Stderr: &stderr})
				err := s.RunArgs(context.Background(), []string{endless, "SELECT nope"})
				if !errors.Is(err, tc.want) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
				diff(t, stderr.String(), "")
			})
		}
	}
}

func TestCancelledContext(t *testing.T) {
	for name, run := range map[string]func(*shell.Shell, context.Context) error{
		"arguments": func(s *shell.Shell, ctx context.Context) error {
			return s.RunArgs(ctx, []string{"SELECT started()", endless, "SELECT 1"})
		},
		"script": func(s *shell.Shell, ctx context.Context) error { return s.Run(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			conn := open(t, ":memory:")
			err := conn.CreateFunction("started", 0, 0, func(sqlite3.Context, ...sqlite3.Value) { cancel() })
			if err != nil {
				t.Fatal(err)
			}
			var stderr bytes.Buffer
			in, w := io.Pipe() // has no end
			defer w.Close()
			go func() { _, _ = io.WriteString(w, "SELECT started();\n") }()
			s := shell.New(conn, &shell.Options{Stdin: in, Stdout: io.Discard, Stderr: &stderr, Bail: -1})
			if err := run(s, ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want context.Canceled", err)
			}
			diff(t, stderr.String(), "Interrupted\n")
			diff(t, conn.GetInterrupt().Err(), nil)
		})
	}
}

func TestLongScriptIsStreamed(t *testing.T) {
	conn := open(t, ":memory:")
	var b strings.Builder
	b.WriteString("CREATE TABLE t(a, b);BEGIN;")
	for range 5000 {
		b.WriteString("INSERT INTO t VALUES(1,'" + strings.Repeat("x;", 50) + "');") // all in one line
	}
	b.WriteString("COMMIT;SELECT count(*), sum(length(b)) FROM t;")
	diff(t, mustRun(t, conn, nil, b.String()), "5000|500000\n")
}

func TestHelpNamesEveryCommand(t *testing.T) {
	conn := open(t, ":memory:")
	out := mustRun(t, conn, nil, ".help")
	for _, name := range strings.Fields(".bail .changes .databases .dump .echo .headers .help .import .indexes .mode .nullvalue .print .quit .read .schema .separator .tables .timeout") {
		if !strings.Contains(out, "\n"+name) && !strings.HasPrefix(out, name) {
			t.Errorf("help lacks %s", name)
		}
		if one := mustRun(t, conn, nil, ".help "+name); !strings.HasPrefix(one, name) {
			t.Errorf("help of %s starts %q", name, one)
		}
	}
	for line := range strings.Lines(out) {
		if len(line) > 130 {
			t.Errorf("too long: %s", line)
		}
	}
}
