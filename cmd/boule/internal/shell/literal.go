package shell

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ncruces/go-sqlite3"
)

func appendInt(dst []byte, i int64) []byte { return strconv.AppendInt(dst, i, 10) }

// appendLiteral appends an SQL expression of which SQLite makes the same value.
func appendLiteral(dst []byte, c cell) []byte {
	switch c.typ {
	case sqlite3.INTEGER:
		return appendInt(dst, c.num)
	case sqlite3.FLOAT:
		return appendReal(dst, c.real)
	case sqlite3.TEXT:
		return appendText(dst, c.data)
	case sqlite3.BLOB:
		return appendBlob(dst, c.data)
	}
	return append(dst, "NULL"...)
}

func appendBlob(dst, data []byte) []byte {
	dst = append(dst, "X'"...)
	dst = hex.AppendEncode(dst, data)
	return append(dst, '\'')
}

// appendText appends a literal. Programs that read SQL by lines change line
// ends and stop at NUL; so these are replaced, as sqlite3 does. Text that is
// not UTF-8 goes by way of a blob.
func appendText(dst, text []byte) []byte {
	if !utf8.Valid(text) {
		return append(appendBlob(append(dst, "CAST("...), text), " AS TEXT)"...)
	}
	var calls, ends []string
	for _, c := range []struct {
		b    byte
		name string
	}{{'\n', `\n`}, {'\r', `\r`}, {0, `\0`}} {
		if bytes.IndexByte(text, c.b) < 0 {
			continue
		}
		token := c.name
		for i := 0; bytes.Contains(text, []byte(token)); i++ {
			token = fmt.Sprintf("%s(%d)", c.name, i)
		}
		text = bytes.ReplaceAll(text, []byte{c.b}, []byte(token))
		calls = append(calls, "replace(")
		ends = append(ends, fmt.Sprintf(",%s,char(%d))", quoteText(token), c.b))
	}
	for _, call := range calls {
		dst = append(dst, call...)
	}
	dst = append(dst, '\'')
	dst = append(dst, bytes.ReplaceAll(text, []byte("'"), []byte("''"))...)
	dst = append(dst, '\'')
	for i := range ends { // the innermost undoes the last
		dst = append(dst, ends[len(ends)-1-i]...)
	}
	return dst
}

// appendReal appends an expression that every SQLite evaluates to exactly f.
//
// That is harder than it looks: SQLite reads decimal numbers with errors in the
// last place, depending on version and platform. Short numbers are exact
// everywhere; 17 digits are for moderate exponents, wherever there are long
// doubles or better. Others are put together from integers and powers of two.
func appendReal(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NULL"...)
	case math.IsInf(f, 1):
		return append(dst, "1e999"...)
	case math.IsInf(f, -1):
		return append(dst, "-1e999"...)
	}
	digits, exponent := decimal(f, -1)
	if digits <= 15 && -22 <= exponent && exponent <= 22 {
		return appendShortest(dst, f)
	}
	if _, exponent = decimal(f, 16); -27 <= exponent && exponent <= 27 {
		return strconv.AppendFloat(dst, f, 'e', 16, 64)
	}
	const step = 52
	frac, exp := math.Frexp(f)
	m := int64(math.Ldexp(frac, 53))
	exp -= 53
	zeros := bits.TrailingZeros64(uint64(m))
	m >>= zeros
	exp += zeros
	op := "*"
	if exp < 0 {
		op, exp = "/", -exp
	}
	dst = append(dst, '(')
	dst = appendInt(dst, m)
	dst = append(dst, "*1.0"...)
	for ; exp > 0; exp -= step {
		dst = append(dst, op...)
		dst = appendInt(dst, 1<<min(exp, step))
	}
	return append(dst, ')')
}

// decimal returns how many significant digits f has when rounded to prec
// digits after the first (or -1 for the shortest), and the power of ten that
// they, as an integer, are to be multiplied by.
func decimal(f float64, prec int) (digits, exponent int) {
	mantissa, exp, _ := strings.Cut(strconv.FormatFloat(math.Abs(f), 'e', prec, 64), "e")
	exponent, _ = strconv.Atoi(exp)
	digits = len(strings.Replace(mantissa, ".", "", 1))
	return digits, exponent - digits + 1
}
