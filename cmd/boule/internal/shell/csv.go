package shell

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// A csvReader reads RFC 4180 records. Unlike encoding/csv it keeps line ends
// in quoted fields as they are, and it says where a record began.
type csvReader struct {
	r    *bufio.Reader
	sep  byte
	line int // of the next byte, from 1
}

// newCSVReader skips a byte order mark.
func newCSVReader(r io.Reader, sep byte) *csvReader {
	br := bufio.NewReaderSize(r, 64<<10)
	if b, _ := br.Peek(len(byteOrderMark)); string(b) == byteOrderMark {
		_, _ = br.Discard(len(b))
	}
	return &csvReader{r: br, sep: sep, line: 1}
}

// read returns the next record and the line that it began on, or io.EOF. A
// blank line is a record of one empty field.
func (c *csvReader) read() (fields []string, line int, err error) {
	line = c.line
	if _, err := c.r.Peek(1); err != nil {
		return nil, line, err
	}
	for {
		field, more, err := c.field()
		if err != nil {
			return nil, line, err
		}
		fields = append(fields, field)
		if !more {
			return fields, line, nil
		}
	}
}

// field reads a field and what ends it; more tells that this was a separator.
func (c *csvReader) field() (field string, more bool, err error) {
	if b, err := c.r.Peek(1); err == nil && b[0] == '"' {
		return c.quoted()
	}
	var text []byte
	for {
		b, err := c.r.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			return string(text), false, nil
		case err != nil:
			return "", false, err
		case b == c.sep:
			return string(text), true, nil
		case b == '\n':
			c.line++
			return string(bytes.TrimSuffix(text, []byte("\r"))), false, nil
		}
		text = append(text, b)
	}
}

func (c *csvReader) quoted() (field string, more bool, err error) {
	begin := c.line
	_, _ = c.r.Discard(1)
	var text []byte
	for {
		part, err := c.r.ReadSlice('"')
		c.line += bytes.Count(part, []byte("\n"))
		text = append(text, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return "", false, fmt.Errorf("line %d: the quoted field that begins here never ends", begin)
		case err != nil:
			return "", false, err
		}
		b, err := c.r.ReadByte()
		if err == nil && b == '"' {
			continue // a doubled quote; one of them is in text
		}
		text = text[:len(text)-1]
		if err == nil && b == '\r' {
			if next, err := c.r.Peek(1); err == nil && next[0] == '\n' {
				b, _ = c.r.ReadByte()
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return string(text), false, nil
		case err != nil:
			return "", false, err
		case b == c.sep:
			return string(text), true, nil
		case b == '\n':
			c.line++
			return string(text), false, nil
		}
		return "", false, fmt.Errorf("line %d: %q after the closing quote of a field", c.line, b)
	}
}
