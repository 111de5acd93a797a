package shell

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"unicode/utf8"
)

const historyLines = 1000

// A history is a file of lines, the oldest first. Failures are ignored: a
// shell without memory is still a shell. A nil history keeps nothing.
type history struct {
	path string
	n    int // lines in the file
}

// openHistory returns the history and its newest lines. It makes no file.
func openHistory(path string) (*history, []string) {
	if path == "" {
		return nil, nil
	}
	h := &history{path: path}
	f, err := os.Open(path)
	if err != nil {
		return h, nil
	}
	defer f.Close()
	var lines []string
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadBytes('\n')
		if text := bytes.TrimRight(line, "\r\n"); len(text) > 0 && utf8.Valid(text) {
			lines = append(lines, string(text))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return h, nil
		}
	}
	h.n = len(lines)
	return h, lines[max(0, len(lines)-historyLines):]
}

// add appends a line at once, so that it survives whatever happens.
func (h *history) add(line string) {
	if h == nil {
		return
	}
	if h.n == 0 {
		_ = os.MkdirAll(filepath.Dir(h.path), 0o700)
	}
	f, err := os.OpenFile(h.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	if _, err := f.WriteString(line + "\n"); err == nil {
		h.n++
	}
}

// trim shortens a file that has grown to twice what is kept.
func (h *history) trim() {
	if h == nil || h.n < 2*historyLines {
		return
	}
	_, lines := openHistory(h.path)
	var b bytes.Buffer
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	f, err := os.CreateTemp(filepath.Dir(h.path), ".history-*") // mode 0600
	if err != nil {
		return
	}
	_, err = f.Write(b.Bytes())
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), h.path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
}
