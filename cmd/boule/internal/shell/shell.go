package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// Options configures a [Shell]. The zero value is usable; so is a nil *Options.
//
// Modes:
//   - list: values between separators, as SQLite converts them to text; blobs
//     as they are.
//   - csv: RFC 4180, lines end in CR LF, quoted as sqlite3 quotes: an empty
//     text is "", a NULL is nothing.
//   - json: one array of objects for each statement that returns rows; nothing
//     for others. Integers are exact, floats the shortest number that reads
//     back the same, infinities null (JSON has none; NaN is NULL in SQLite). A
//     blob is a string; bytes that are not UTF-8 become \u0080 to \u00ff.
//   - table: columns aligned in a box, always with names unless .headers off.
//     Unprintable characters show as symbols, long blobs are abbreviated.
//     Widths are those of the first rows; a wider value later sticks out.
type Options struct {
	Mode    string // list, csv, json or table; empty means table if Interactive, else list
	JSON    bool   // same as mode json, wins over Mode
	Headers bool   // names of columns in modes list and csv

	Stdin          io.Reader // nil means os.Stdin
	Stdout, Stderr io.Writer // nil means os.Stdout, os.Stderr

	Interactive bool   // Run prompts, edits lines on a terminal and goes on after errors
	Prompt      string // empty means "boule> "
	HistoryFile string // empty keeps no history; written with mode 0600 once there is a line

	Echo bool // print each statement before it runs
	Bail int  // stop at the first error: positive yes, negative no; zero unless interactive
}

// A Shell runs SQL and dot commands on one connection. It is not safe for
// concurrent use, nor may the connection be used by others meanwhile.
type Shell struct {
	conn   *sqlite3.Conn
	stdin  io.Reader
	out    *output
	stderr io.Writer
	opts   Options
	fault  error // of the options

	mode           string
	headers        int // 0: as the mode has it
	colSep, rowSep string
	null           string
	bail, echo     bool
	changes        bool

	first    error // the first error reported
	depth    int   // of nested .read
	typing   bool  // a user is: an interrupt is no error
	quit     bool
	newLines func() lineSource // nil: see newLineSource
	signals  chan os.Signal    // nil: see runInteractive
}

// New returns a Shell on conn. Faults of opts are returned by Run and RunArgs.
func New(conn *sqlite3.Conn, opts *Options) *Shell {
	s := &Shell{conn: conn}
	if opts != nil {
		s.opts = *opts
	}
	o := &s.opts
	if o.JSON {
		o.Mode = "json"
	}
	if o.Mode == "" {
		o.Mode = "list"
		if o.Interactive {
			o.Mode = "table"
		}
	}
	if o.Prompt == "" {
		o.Prompt = "boule> "
	}
	if o.Stdin == nil {
		o.Stdin = os.Stdin
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	s.stdin, s.stderr = o.Stdin, o.Stderr
	s.out = newOutput(o.Stdout)
	s.echo = o.Echo
	s.fault = s.setMode(o.Mode)
	if o.Headers {
		s.headers = 1
	}
	return s
}

// RunArgs runs each argument: SQL, of one or more statements, or a dot command,
// or lines of both. It stops at the first error unless [Options].Bail is
// negative, and returns the first.
//
// A done ctx interrupts the running statement and ends the run. Whatever ran
// before an error has happened, unless it is part of a transaction left open.
func (s *Shell) RunArgs(ctx context.Context, args []string) error {
	if s.fault != nil {
		return s.fault
	}
	s.bail = s.opts.Bail >= 0
	s.first, s.quit = nil, false
	var err error
	for i, arg := range args {
		src := source{}
		if len(args) > 1 {
			src.name = fmt.Sprintf("argument %d", i+1)
		}
		if err = s.runText(ctx, src, strings.NewReader(arg)); err != nil {
			break
		}
	}
	return s.leave(err)
}

// Run runs Stdin until its end or .quit: as a script, or interactively. In a
// script it stops at the first error unless [Options].Bail is negative;
// interactively it goes on unless Bail is positive. It returns the first error.
//
// A done ctx interrupts the running statement and ends the run. An interactive
// shell handles Ctrl-C itself: it interrupts the running statement, and at the
// prompt it clears what was typed. Its ctx must not be one that an interrupt
// cancels. It discards a statement that has no end when Stdin ends.
func (s *Shell) Run(ctx context.Context) error {
	if s.fault != nil {
		return s.fault
	}
	s.first, s.quit = nil, false
	if s.opts.Interactive {
		s.bail = s.opts.Bail > 0
		s.typing = true
		err := s.runInteractive(ctx)
		s.typing = false
		if err = s.leave(err); err == nil {
			err = ctx.Err()
		}
		return err
	}
	s.bail = s.opts.Bail >= 0
	return s.leave(s.runText(ctx, source{slow: true}, s.stdin))
}

// leave ends a run that ended with err.
func (s *Shell) leave(err error) error {
	if ferr := s.out.flush(); err == nil && ferr != nil {
		err = outputError(ferr)
	}
	s.out.reset(s.opts.Stdout) // forget the error of a pipe
	if !s.conn.GetAutocommit() {
		fmt.Fprintln(s.stderr, "Warning: the transaction left open is rolled back")
	}
	switch {
	case err == nil, errors.Is(err, errStop), brokenPipe(err):
		return s.first
	case s.first != nil:
		return s.first
	}
	return err
}

// A source is where items come from.
type source struct {
	name string // for messages; empty for standard input
	slow bool   // reading may wait for somebody
	user bool   // lines typed by a user: no line numbers
}

// runText runs what r holds.
func (s *Shell) runText(ctx context.Context, src source, r io.Reader) error {
	var sp splitter
	buf := make([]byte, 64<<10)
	for begin := true; ; {
		n, err := 0, error(nil)
		if src.slow {
			n, err = await(ctx, func() (int, error) { return r.Read(buf) })
		} else {
			n, err = r.Read(buf)
		}
		text := buf[:n]
		if begin && n > 0 {
			text = bytes.TrimPrefix(text, []byte(byteOrderMark))
			begin = false
		}
		sp.feed(text)
		for it, ok := sp.next(); ok; it, ok = sp.next() {
			if err := s.runItem(ctx, src, it); err != nil {
				return err
			}
		}
		switch {
		case ctx.Err() != nil:
			return s.fail(src, item{}, ctx.Err())
		case errors.Is(err, io.EOF):
			if it, ok := sp.finish(); ok {
				return s.runItem(ctx, src, it)
			}
			return nil
		case err != nil:
			return s.fail(src, item{line: sp.line + 1}, fmt.Errorf("read: %w", err))
		}
	}
}

const byteOrderMark = "\xef\xbb\xbf"

// await calls f, but waits for it only until ctx is done. Then f is left alone:
// nothing that it uses may be used again.
func await[T any](ctx context.Context, f func() (T, error)) (T, error) {
	if ctx.Done() == nil {
		return f()
	}
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}

// runItem runs one item and reports its error, if any. It returns an error if
// that is to end the run.
func (s *Shell) runItem(ctx context.Context, src source, it item) error {
	if s.echo {
		s.out.str(strings.TrimRight(it.text, "\r\n") + "\n")
	}
	old := s.conn.SetInterrupt(ctx)
	var err error
	if it.kind == itemDot {
		err = s.runCommand(ctx, src, it)
	} else {
		err = s.runSQL(src, it)
	}
	s.conn.SetInterrupt(old)
	if ferr := s.out.flush(); ferr != nil {
		return outputError(ferr)
	}
	switch {
	case err == nil && s.quit:
		return errStop
	case err == nil, errors.Is(err, errStop):
		return err
	case ctx.Err() != nil && errors.Is(err, sqlite3.INTERRUPT):
		err = ctx.Err()
	}
	err = s.fail(src, it, err)
	if err == nil && ctx.Err() != nil {
		return errStop
	}
	return err
}

// fail reports err, which it returns an error for if that is to end the run.
func (s *Shell) fail(src source, it item, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Source: src.name, Line: it.line, Err: err}
		if src.user {
			e.Line = 0
		}
	}
	interrupted := errors.Is(err, context.Canceled)
	if s.first == nil && (!interrupted || !s.typing) {
		s.first = e
	}
	if ferr := s.out.flush(); ferr != nil {
		return outputError(ferr)
	}
	if interrupted {
		fmt.Fprintln(s.stderr, "Interrupted")
	} else {
		fmt.Fprintf(s.stderr, "Error: %s\n", e)
	}
	if e.Context != "" {
		fmt.Fprintln(s.stderr, e.Context)
	}
	if s.bail {
		return errStop
	}
	return nil
}

func outputError(err error) error {
	return fmt.Errorf("shell: write output: %w", err)
}
