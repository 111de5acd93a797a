package shell

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/ncruces/go-sqlite3"
)

// A printer writes the rows of one statement. Errors stay in the output.
type printer interface {
	begin(names []string) // before the first row
	cell(c cell)
	endRow()
	end()
}

var modes = []string{"list", "csv", "json", "table"}

// setMode selects a mode with its separators.
func (s *Shell) setMode(mode string) error {
	if !slices.Contains(modes, mode) {
		return fmt.Errorf("unknown mode %q: want list, csv, json or table", mode)
	}
	s.mode = mode
	switch mode {
	case "csv":
		s.colSep, s.rowSep = ",", "\r\n"
	default:
		s.colSep, s.rowSep = "|", "\n"
	}
	return nil
}

func (s *Shell) newPrinter() printer {
	switch s.mode {
	case "json":
		return &jsonPrinter{w: s.out}
	case "table":
		return &tablePrinter{w: s.out, header: s.headers >= 0, null: s.null}
	}
	return &listPrinter{w: s.out, header: s.headers > 0, csv: s.mode == "csv", colSep: s.colSep, rowSep: s.rowSep, null: s.null}
}

// listPrinter writes modes list and csv.
type listPrinter struct {
	w                    *output
	header, csv          bool
	colSep, rowSep, null string
	n                    int // cells of this row
	scratch              []byte
}

func (p *listPrinter) begin(names []string) {
	if !p.header {
		return
	}
	for _, name := range names {
		p.cell(cell{typ: sqlite3.TEXT, data: []byte(name)})
	}
	p.endRow()
}

func (p *listPrinter) cell(c cell) {
	if p.n > 0 {
		p.w.str(p.colSep)
	}
	p.n++
	text := c.data
	switch c.typ {
	case sqlite3.NULL:
		p.w.str(p.null)
		return
	case sqlite3.INTEGER:
		p.scratch = strconv.AppendInt(p.scratch[:0], c.num, 10)
		text = p.scratch
	}
	if !p.csv || !p.needQuotes(text) {
		p.w.bytes(text)
		return
	}
	p.w.byte('"')
	for len(text) > 0 {
		i := bytes.IndexByte(text, '"') + 1
		if i == 0 {
			p.w.bytes(text)
			break
		}
		p.w.bytes(text[:i])
		p.w.byte('"')
		text = text[i:]
	}
	p.w.byte('"')
}

// needQuotes tells whether sqlite3 would quote this field of a CSV file.
func (p *listPrinter) needQuotes(text []byte) bool {
	if len(text) == 0 || p.colSep != "" && bytes.Contains(text, []byte(p.colSep)) {
		return true
	}
	for _, c := range text {
		if c <= ' ' || c >= 0x7F || c == '"' || c == '\'' {
			return true
		}
	}
	return false
}

func (p *listPrinter) endRow() {
	p.w.str(p.rowSep)
	p.n = 0
}

func (p *listPrinter) end() {}

// jsonPrinter writes an array of objects.
type jsonPrinter struct {
	w       *output
	names   [][]byte // each with its colon
	n       int      // cells of this row
	rows    bool
	scratch []byte
}

func (p *jsonPrinter) begin(names []string) {
	for _, name := range names {
		p.names = append(p.names, append(appendJSONString(nil, []byte(name)), ':'))
	}
}

func (p *jsonPrinter) cell(c cell) {
	switch {
	case p.n > 0:
		p.w.byte(',')
	case p.rows:
		p.w.str(",\n{")
	default:
		p.w.str("[{")
	}
	p.w.bytes(p.names[p.n])
	p.n++
	b := p.scratch[:0]
	switch c.typ {
	case sqlite3.INTEGER:
		b = strconv.AppendInt(b, c.num, 10)
	case sqlite3.FLOAT:
		b = appendJSONFloat(b, c.real)
	case sqlite3.TEXT, sqlite3.BLOB:
		b = appendJSONString(b, c.data)
	default:
		b = append(b, "null"...)
	}
	p.w.bytes(b)
	p.scratch = b
	if cap(b) > 1<<20 {
		p.scratch = nil
	}
}

func (p *jsonPrinter) endRow() {
	p.w.byte('}')
	p.n, p.rows = 0, true
}

func (p *jsonPrinter) end() { p.w.str("]\n") }

// appendJSONFloat appends the shortest number that reads back as f, never one
// that looks like an integer.
func appendJSONFloat(dst []byte, f float64) []byte {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return append(dst, "null"...)
	}
	return appendShortest(dst, f)
}

// appendShortest appends a finite f with a point or an exponent.
func appendShortest(dst []byte, f float64) []byte {
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e15) {
		format = 'e'
	}
	n := len(dst)
	dst = strconv.AppendFloat(dst, f, format, -1, 64)
	if format == 'f' && !bytes.ContainsRune(dst[n:], '.') {
		dst = append(dst, ".0"...)
	}
	return dst
}

func appendJSONString(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c == 0x7F:
			switch c {
			case '\b':
				dst = append(dst, `\b`...)
			case '\f':
				dst = append(dst, `\f`...)
			case '\n':
				dst = append(dst, `\n`...)
			case '\r':
				dst = append(dst, `\r`...)
			case '\t':
				dst = append(dst, `\t`...)
			default:
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, n := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			} else {
				dst = append(dst, text[i:i+n]...)
			}
			i += n
			continue
		}
		i++
	}
	return append(dst, '"')
}
