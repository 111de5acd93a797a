package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/peterh/liner"
)

// A lineSource reads what a user types, line by line.
type lineSource interface {
	// Line returns a line without its end; errAborted after Ctrl-C, io.EOF
	// after Ctrl-D.
	Line(prompt string) (string, error)
	// Remember adds a line to the history.
	Remember(line string)
	// Close gives the terminal back as it was.
	Close() error
}

// newLineSource edits lines if it has a terminal to do so.
func (s *Shell) newLineSource() lineSource {
	switch {
	case s.newLines != nil:
		return s.newLines()
	case s.stdin == os.Stdin && s.opts.Stdout == os.Stdout && liner.TerminalSupported():
		return newEditor(s.opts.HistoryFile)
	}
	return &plainLines{in: bufio.NewReader(s.stdin), out: s.opts.Stdout}
}

const continuation = "...> "

// runInteractive runs lines as they are typed.
func (s *Shell) runInteractive(ctx context.Context) error {
	// From here on an interrupt doesn't end the program.
	if s.signals == nil {
		s.signals = make(chan os.Signal, 1)
		signal.Notify(s.signals, os.Interrupt)
		defer func() {
			signal.Stop(s.signals)
			s.signals = nil
		}()
	}
	lines := s.newLineSource()
	defer func() { _ = lines.Close() }()
	next := lineReader{source: lines}

	version, err := s.texts("SELECT sqlite_version()")
	if err != nil {
		return s.fail(source{user: true}, item{}, err)
	}
	s.out.printf("SQLite %s. \".help\" lists the commands, Ctrl-D leaves.\n", strings.Join(version, ""))
	if err := s.out.flush(); err != nil {
		return outputError(err)
	}

	var sp splitter
	for {
		prompt := s.opts.Prompt
		if sp.pending() {
			prompt = fmt.Sprintf("%*s", len(prompt), continuation)
		}
		line, err := next.read(ctx, s.signals, prompt)
		switch {
		case errors.Is(err, errAborted):
			sp.reset()
			continue
		case errors.Is(err, io.EOF):
			// A statement without its end is not run: who leaves has thought
			// better of it.
			fmt.Fprintln(s.opts.Stdout)
			return nil
		case ctx.Err() != nil:
			return s.fail(source{user: true}, item{}, ctx.Err())
		case err != nil:
			return s.fail(source{user: true}, item{}, fmt.Errorf("read: %w", err))
		}
		if strings.TrimSpace(line) != "" {
			lines.Remember(line)
		}
		sp.feed([]byte(line + "\n"))
		for it, ok := sp.next(); ok; it, ok = sp.next() {
			interrupted, err := s.runTyped(ctx, it)
			if err != nil {
				return err
			}
			if interrupted {
				sp.reset() // with what else the line holds
			}
		}
	}
}

// runTyped runs an item that an interrupt stops without ending the run.
func (s *Shell) runTyped(ctx context.Context, it item) (interrupted bool, err error) {
	own, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-s.signals:
			interrupted = true
			cancel()
		case <-own.Done():
		}
	}()
	err = s.runItem(own, source{user: true}, it)
	cancel()
	<-done
	select {
	case <-s.signals: // too late for this item, but meant for the whole line
		interrupted = true
	default:
	}
	switch {
	case !interrupted:
	case err == nil: // what follows is not run, so say it
		fmt.Fprintln(s.stderr, "Interrupted")
	case errors.Is(err, errStop) && ctx.Err() == nil && !s.bail && !s.quit:
		err = nil // has been said
	}
	return interrupted, err
}

// lineReader reads from a source in the background, so that a done context is
// noticed while the user does nothing. A read that was left alone is taken up
// again by the next.
type lineReader struct {
	source  lineSource
	pending chan typed
}

type typed struct {
	line string
	err  error
}

func (r *lineReader) read(ctx context.Context, signals <-chan os.Signal, prompt string) (string, error) {
	if r.pending == nil {
		pending := make(chan typed, 1)
		go func() {
			line, err := r.source.Line(prompt)
			pending <- typed{line, err}
		}()
		r.pending = pending
	} else if p, ok := r.source.(*plainLines); ok {
		p.prompt("\n" + prompt)
	}
	select {
	case t := <-r.pending:
		r.pending = nil
		return t.line, t.err
	case <-signals:
		return "", errAborted
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// plainLines reads lines without editing them.
type plainLines struct {
	in  *bufio.Reader
	out io.Writer
}

func (p *plainLines) prompt(text string) { _, _ = io.WriteString(p.out, text) }

func (p *plainLines) Line(prompt string) (string, error) {
	p.prompt(prompt)
	line, err := p.in.ReadString('\n')
	if line != "" {
		err = nil // the end comes again
	}
	return strings.TrimRight(line, "\r\n"), err
}

func (p *plainLines) Remember(string) {}
func (p *plainLines) Close() error    { return nil }

// editor is a terminal with line editing and history.
type editor struct {
	state *liner.State
	past  *history
}

func newEditor(historyFile string) *editor {
	past, lines := openHistory(historyFile)
	e := &editor{state: liner.NewLiner(), past: past}
	e.state.SetCtrlCAborts(true)
	e.state.SetBeep(false)
	for _, line := range lines {
		e.state.AppendHistory(line)
	}
	return e
}

func (e *editor) Line(prompt string) (string, error) {
	line, err := e.state.Prompt(prompt)
	if errors.Is(err, liner.ErrPromptAborted) {
		return "", errAborted
	}
	return line, err
}

func (e *editor) Remember(line string) {
	e.state.AppendHistory(line)
	e.past.add(line)
}

func (e *editor) Close() error {
	e.past.trim()
	return e.state.Close()
}
