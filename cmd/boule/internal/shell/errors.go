package shell

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/ncruces/go-sqlite3"
)

var (
	errAborted = errors.New("shell: line aborted") // Ctrl-C at the prompt
	errStop    = errors.New("shell: stop")         // unwinds to Run after an error has been reported, or .quit
)

// An Error is a statement or a dot command that failed. All errors of type
// *Error have been written to Stderr, with their context, by the time
// [Shell.Run] or [Shell.RunArgs] returns the first of them.
type Error struct {
	Source  string // file or argument; empty for standard input
	Line    int    // from 1; zero when interactive
	Context string // the line of SQL at fault and a mark below the place; empty if unknown
	Err     error
}

// Error says in one line where and what.
func (e *Error) Error() string {
	msg := message(e.Err)
	switch {
	case e.Line == 0:
		return msg
	case e.Source == "":
		return fmt.Sprintf("line %d: %s", e.Line, msg)
	default:
		return fmt.Sprintf("%s:%d: %s", e.Source, e.Line, msg)
	}
}

// Unwrap returns what SQLite, the system or the dot command said.
func (e *Error) Unwrap() error { return e.Err }

// message drops the prefixes that only repeat the error's class.
func message(err error) string {
	msg := err.Error()
	var serr *sqlite3.Error
	if !errors.As(err, &serr) {
		return strings.TrimPrefix(msg, "sqlite3: ")
	}
	inner := serr.Error()
	short := strings.TrimPrefix(inner, "sqlite3: ")
	switch serr.Code() {
	case sqlite3.ERROR, sqlite3.CONSTRAINT:
		class := strings.TrimPrefix(serr.Code().Error(), "sqlite3: ") + ": "
		short = strings.TrimPrefix(short, class)
	}
	return strings.Replace(msg, inner, short, 1)
}

// brokenPipe tells that whoever read our output has gone.
func brokenPipe(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
}

// mark returns the line of sql that holds offset, cut to what fits a
// terminal, and below it a pointer to the place.
func mark(sql string, offset int) string {
	if offset < 0 || offset > len(sql) {
		return ""
	}
	start := strings.LastIndexByte(sql[:offset], '\n') + 1
	end := len(sql)
	if i := strings.IndexByte(sql[offset:], '\n'); i >= 0 {
		end = offset + i
	}
	const before, after = 50, 30
	for offset-start > before {
		start++
		for start < offset && sql[start]&0xC0 == 0x80 {
			start++
		}
	}
	for end-offset > after {
		end--
		for end > offset && sql[end]&0xC0 == 0x80 {
			end--
		}
	}
	head := visible([]byte(sql[start:offset]))
	tail := visible([]byte(strings.TrimRight(sql[offset:end], "\r")))
	return "  " + head + tail + "\n  " + strings.Repeat(" ", width(head)) + "^--- error here"
}
