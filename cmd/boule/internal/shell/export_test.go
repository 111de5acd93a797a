package shell

import (
	"os"
)

// LineSource is what interactive tests stand in for.
type LineSource = lineSource

// ErrAborted is what a LineSource returns after Ctrl-C.
var ErrAborted = errAborted

// SetLines makes Run read from lines, and take interrupts from signals.
func (s *Shell) SetLines(lines LineSource, signals chan os.Signal) {
	s.newLines = func() lineSource { return lines }
	s.signals = signals
}

// SetSignals makes Run take interrupts from signals.
func (s *Shell) SetSignals(signals chan os.Signal) { s.signals = signals }

// An Item is what a script is cut into.
type Item struct {
	Dot  bool
	Text string
	Line int
}

// Split cuts text that arrives in pieces of n bytes. It also returns where
// each item ends.
func Split(text string, n int) (items []Item, ends []int) {
	var sp splitter
	fed := 0
	add := func(it item, ok bool) bool {
		if ok {
			items = append(items, Item{it.kind == itemDot, it.text, it.line})
			ends = append(ends, fed-len(sp.buf))
		}
		return ok
	}
	for fed < len(text) {
		piece := text[fed:min(fed+n, len(text))]
		sp.feed([]byte(piece))
		fed += len(piece)
		for add(sp.next()) {
		}
	}
	add(sp.finish())
	return items, ends
}

// Pending tells whether the shell would ask for more after text.
func Pending(text string) bool {
	var sp splitter
	sp.feed([]byte(text))
	for {
		if _, ok := sp.next(); !ok {
			return sp.pending()
		}
	}
}

// RealLiteral is how a dump writes f.
func RealLiteral(f float64) string { return string(appendReal(nil, f)) }

// TextLiteral is how a dump writes text.
func TextLiteral(text string) string { return string(appendText(nil, []byte(text))) }

// SplitArgs cuts the line of a dot command.
var SplitArgs = splitArgs

// Visible is how a table shows text.
func Visible(text string) string { return visible([]byte(text)) }

// JSONString is how a text is written in mode json.
func JSONString(text string) string { return string(appendJSONString(nil, []byte(text))) }

// History is a history file.
type History = history

// OpenHistory reads a history file.
var OpenHistory = openHistory

// Add adds a line.
func (h *history) Add(line string) { h.add(line) }

// Trim shortens the file.
func (h *history) Trim() { h.trim() }

// TableRows is how many rows the widths of a table are taken from.
const TableRows = tableRows
