package shell

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
	"github.com/ncruces/go-sqlite3"
)

const (
	tableRows  = 1000    // rows that widths are taken from
	tableBytes = 4 << 20 // text of rows that widths are taken from
	tableBlob  = 32      // bytes of a blob that are shown
)

// tablePrinter writes rows in a box.
type tablePrinter struct {
	w      *output
	header bool
	null   string

	names  []string
	widths []int
	row    []tableCell
	rows   [][]tableCell // nil once widths are settled
	size   int
	fixed  bool
}

type tableCell struct {
	text   string
	number bool
}

func (p *tablePrinter) begin(names []string) {
	p.widths = make([]int, len(names))
	for i, name := range names {
		p.names = append(p.names, visible([]byte(name)))
		if p.header {
			p.widths[i] = width(p.names[i])
		}
	}
}

func (p *tablePrinter) cell(c cell) {
	t := tableCell{}
	switch c.typ {
	case sqlite3.NULL:
		t.text = visible([]byte(p.null))
	case sqlite3.INTEGER:
		t = tableCell{strconv.FormatInt(c.num, 10), true}
	case sqlite3.FLOAT:
		t = tableCell{string(c.data), true}
	case sqlite3.TEXT:
		t.text = visible(c.data)
	case sqlite3.BLOB:
		if len(c.data) > tableBlob {
			t.text = fmt.Sprintf("x'%x…' (%d bytes)", c.data[:tableBlob], len(c.data))
		} else {
			t.text = fmt.Sprintf("x'%x'", c.data)
		}
	}
	p.row = append(p.row, t)
	p.size += len(t.text)
}

func (p *tablePrinter) endRow() {
	if p.fixed {
		p.print(p.row)
		p.row = p.row[:0]
		return
	}
	for i, t := range p.row {
		p.widths[i] = max(p.widths[i], width(t.text))
	}
	p.rows = append(p.rows, p.row)
	p.row = nil
	if len(p.rows) >= tableRows || p.size > tableBytes {
		p.settle()
	}
}

func (p *tablePrinter) end() {
	p.settle()
	p.rule("└", "┴", "┘")
}

// settle prints what is held back.
func (p *tablePrinter) settle() {
	if p.fixed {
		return
	}
	p.fixed = true
	p.rule("┌", "┬", "┐")
	if p.header {
		row := make([]tableCell, len(p.names))
		for i, name := range p.names {
			row[i].text = name
		}
		p.print(row)
		p.rule("├", "┼", "┤")
	}
	for _, row := range p.rows {
		p.print(row)
	}
	p.rows = nil
}

func (p *tablePrinter) rule(left, middle, right string) {
	p.w.str(left)
	for i, n := range p.widths {
		if i > 0 {
			p.w.str(middle)
		}
		p.w.str(strings.Repeat("─", n+2))
	}
	p.w.str(right)
	p.w.byte('\n')
}

func (p *tablePrinter) print(row []tableCell) {
	for i, t := range row {
		pad := strings.Repeat(" ", max(0, p.widths[i]-width(t.text)))
		p.w.str("│ ")
		if t.number {
			p.w.str(pad)
		}
		p.w.str(t.text)
		if !t.number {
			p.w.str(pad)
		}
		p.w.byte(' ')
	}
	p.w.str("│\n")
}

// columns is independent of the locale: output is the same everywhere.
var columns = &runewidth.Condition{StrictEmojiNeutral: true}

// width is how many columns of a terminal text takes.
func width(text string) int {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return columns.StringWidth(text)
		}
	}
	return len(text)
}

// visible returns text with everything that could confuse a terminal replaced
// by one visible character each.
func visible(text []byte) string {
	clean := true
	for _, c := range text {
		if c < ' ' || c >= 0x7F {
			clean = false
			break
		}
	}
	if clean {
		return string(text)
	}
	var b strings.Builder
	b.Grow(len(text))
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		text = text[n:]
		switch {
		case r < ' ':
			r += '␀' // the symbols of control characters
		case r == 0x7F:
			r = '␡'
		case r > 0x7F && r < 0xA0, // C1 control characters
			r == 0x2028, r == 0x2029, r == 0xFEFF,
			r >= 0x200B && r <= 0x200F && r != 0x200D,              // marks of direction, nothing wide; joiners stay
			r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069: // overrides of direction
			r = utf8.RuneError
		}
		b.WriteRune(r)
	}
	return b.String()
}
