package shell_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule/cmd/boule/internal/shell"
)

const ctrlC = "\x03"

// user types lines; ctrlC stands for the key.
type user struct {
	lines      []string
	prompts    []string
	remembered []string
	closed     bool
	wait       chan struct{} // if not nil, waited for after the last line
}

func (u *user) Line(prompt string) (string, error) {
	u.prompts = append(u.prompts, prompt)
	if len(u.lines) == 0 {
		if u.wait != nil {
			<-u.wait
		}
		return "", io.EOF
	}
	line := u.lines[0]
	u.lines = u.lines[1:]
	if line == ctrlC {
		return "", shell.ErrAborted
	}
	return line, nil
}

func (u *user) Remember(line string) { u.remembered = append(u.remembered, line) }
func (u *user) Close() error         { u.closed = true; return nil }

// session runs an interactive shell and cuts off what it says first.
func session(t testing.TB, ctx context.Context, conn *sqlite3.Conn, u *user, opts shell.Options) result {
	t.Helper()
	var out, stderr bytes.Buffer
	opts.Interactive, opts.Mode, opts.Stdout, opts.Stderr = true, "list", &out, &stderr
	s := shell.New(conn, &opts)
	s.SetLines(u, make(chan os.Signal, 1))
	err := s.Run(ctx)
	if !u.closed {
		t.Error("the terminal was not given back")
	}
	greeting, rest, _ := strings.Cut(out.String(), "\n")
	if !strings.Contains(greeting, ".help") {
		t.Errorf("got greeting %q", greeting)
	}
	return result{rest, stderr.String(), err}
}

func TestInteractive(t *testing.T) {
	for name, tc := range map[string]struct {
		opts        shell.Options
		lines       string
		out, stderr string
		err         string
		prompts     string // m: main, c: continuation
	}{
		"statements":          {lines: "SELECT 1; SELECT 2;|SELECT 3;", out: "1\n2\n3\n\n", prompts: "mmm"},
		"several lines":       {lines: "SELECT|';|'||1;", out: ";\n1\n\n", prompts: "mccm"},
		"trigger":             {lines: "CREATE TABLE t(a); CREATE TRIGGER x AFTER INSERT ON t BEGIN|SELECT 1;|END;|.tables", out: "t\n\n", prompts: "mccmm"},
		"comments":            {lines: "-- x|/* y|*/|SELECT 1; -- z|", out: "1\n\n", prompts: "mmcmmm"},
		"goes on":             {lines: "SELECT nope;|.nope|SELECT 3;", out: "3\n\n", stderr: "Error: no such column: nope\n  SELECT nope;\n         ^--- error here\nError: unknown command \".nope\"; \".help\" lists the commands\n", err: "no such column: nope", prompts: "mmmm"},
		"bail":                {opts: shell.Options{Bail: 1}, lines: "SELECT nope;|SELECT 3;", stderr: "Error: no such column: nope\n  SELECT nope;\n         ^--- error here\n", err: "no such column: nope", prompts: "m"},
		"clear a line":        {lines: "SELECT '|" + ctrlC + "|SELECT 1;", out: "1\n\n", prompts: "mcmm"},
		"quit":                {lines: "SELECT 1;|.quit|SELECT 2;", out: "1\n", prompts: "mm"},
		"quit is not for SQL": {lines: "SELECT|.quit|1;", out: "\n", stderr: "Error: near \".\": syntax error\n  .quit\n  ^--- error here\n", err: `near ".": syntax error`, prompts: "mccm"},
		"leave a statement":   {lines: "SELECT 1", out: "\n", prompts: "mc"},
		"open transaction":    {lines: "BEGIN;", out: "\n", stderr: "Warning: the transaction left open is rolled back\n", prompts: "mm"},
	} {
		t.Run(name, func(t *testing.T) {
			u := &user{lines: strings.Split(strings.ReplaceAll(tc.lines, "||", "\x00"), "|")}
			for i := range u.lines {
				u.lines[i] = strings.ReplaceAll(u.lines[i], "\x00", "||")
			}
			tc.opts.Prompt = "db> "
			r := session(t, context.Background(), open(t, ":memory:"), u, tc.opts)
			diff(t, r.Out, tc.out)
			diff(t, r.Err, tc.stderr)
			msg := ""
			if r.Error != nil {
				msg = r.Error.Error()
			}
			diff(t, msg, tc.err)
			got := strings.NewReplacer("db> ", "m", "...> ", "c").Replace(strings.Join(u.prompts, ""))
			diff(t, got, tc.prompts)
		})
	}
}

func TestInterruptStopsTheStatementAlone(t *testing.T) {
	for name, statement := range map[string]string{
		"rows":    "SELECT interrupt(); " + endless + "; SELECT 'not run';",
		"no rows": "SELECT interrupt(); SELECT count(*) FROM (" + endless + ");",
		"writing": "CREATE TABLE t(a); INSERT INTO t SELECT CASE x WHEN 5 THEN interrupt() ELSE x END FROM (" + endless + ");",
		"file":    ".read '%s'",
	} {
		t.Run(name, func(t *testing.T) {
			conn := open(t, ":memory:")
			signals := make(chan os.Signal, 1)
			interrupt := func(ctx sqlite3.Context, _ ...sqlite3.Value) {
				select {
				case signals <- os.Interrupt:
				default:
				}
				ctx.ResultInt(0)
			}
			if err := conn.CreateFunction("interrupt", 0, sqlite3.DETERMINISTIC|sqlite3.INNOCUOUS, interrupt); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "f.sql")
			if err := os.WriteFile(file, []byte("SELECT interrupt();\n"+endless+";\nSELECT 'not run';\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			u := &user{lines: strings.Split(strings.ReplaceAll(statement, "%s", file), "|")}
			u.lines = append(u.lines, "SELECT 'goes on';")
			var out, stderr bytes.Buffer
			s := shell.New(conn, &shell.Options{Interactive: true, Mode: "list", Stdout: &out, Stderr: &stderr})
			s.SetLines(u, signals)
			if err := s.Run(context.Background()); err != nil {
				t.Errorf("got %v", err)
			}
			if !strings.HasSuffix(out.String(), "goes on\n\n") || strings.Contains(out.String(), "not run") {
				t.Errorf("got output … %q", out.String()[max(0, out.Len()-100):])
			}
			diff(t, stderr.String(), "Interrupted\n")
		})
	}
}

// screen is what a terminal shows.
type screen struct {
	mu   sync.Mutex // of text
	text string
	more chan struct{}
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	s.text += string(p)
	s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

// await waits until text is shown and takes away all up to its end.
func (s *screen) await(t testing.TB, text string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		s.mu.Lock()
		_, after, ok := strings.Cut(s.text, text)
		if ok {
			s.text = after
		}
		shown := s.text
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-s.more:
		case <-deadline:
			t.Fatalf("%q does not appear; shown is %q", text, shown)
		}
	}
}

func TestInterruptAtThePromptClearsIt(t *testing.T) {
	in, w := io.Pipe()
	out := &screen{more: make(chan struct{}, 1)}
	signals := make(chan os.Signal, 1)
	s := shell.New(open(t, ":memory:"), &shell.Options{Interactive: true, Mode: "list", Stdin: in, Stdout: out})
	s.SetSignals(signals)
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background()) }()
	out.await(t, "boule> ")
	fmt.Fprintln(w, "SELECT '")
	out.await(t, "  ...> ")
	signals <- os.Interrupt
	out.await(t, "\nboule> ")
	fmt.Fprintln(w, "SELECT 'fresh';")
	out.await(t, "fresh\nboule> ")
	w.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	out.await(t, "\n")
}

func TestInteractiveEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	conn := open(t, ":memory:")
	if err := conn.CreateFunction("leave", 0, 0, func(sqlite3.Context, ...sqlite3.Value) { cancel() }); err != nil {
		t.Fatal(err)
	}
	u := &user{lines: []string{"SELECT leave();"}, wait: make(chan struct{})}
	defer close(u.wait)
	r := session(t, ctx, conn, u, shell.Options{})
	if !errors.Is(r.Error, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", r.Error)
	}
}

func TestRemembers(t *testing.T) {
	u := &user{lines: []string{"SELECT", "1;", "", "  ", ".tables"}}
	session(t, context.Background(), open(t, ":memory:"), u, shell.Options{})
	diff(t, u.remembered, []string{"SELECT", "1;", ".tables"})
}

func TestHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "history")
	h, lines := shell.OpenHistory(path)
	diff(t, lines, []string(nil))
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file exists before the first line: %v", err)
	}
	h.Add("one")
	h.Add("two é")
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("got %v, %v, want mode 0600", fi.Mode(), err)
	}
	h, lines = shell.OpenHistory(path)
	diff(t, lines, []string{"one", "two é"})

	for i := range 2500 {
		h.Add(fmt.Sprint("line ", i))
	}
	h.Trim()
	_, lines = shell.OpenHistory(path)
	diff(t, len(lines), 1000)
	diff(t, lines[999], "line 2499")
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want mode 0600", fi.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("got %v, %v, want the history alone", entries, err)
	}
}

func TestHistoryFailuresAreIgnored(t *testing.T) {
	dir := t.TempDir()
	h, lines := shell.OpenHistory(dir) // no file
	h.Add("x")
	h.Trim()
	diff(t, lines, []string(nil))
	none, _ := shell.OpenHistory("")
	none.Add("x")
	none.Trim()
	damaged := filepath.Join(dir, "h")
	if err := os.WriteFile(damaged, []byte("a\n\xff\n\n"+strings.Repeat("x", 10000)+"\nb"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, lines = shell.OpenHistory(damaged)
	diff(t, lines, []string{"a", strings.Repeat("x", 10000), "b"})
}
