package shell

import (
	"bufio"
	"fmt"
	"io"
)

// output buffers what is printed. The first error of writing stays and makes
// all that follows do nothing; flush returns it.
type output struct{ buf *bufio.Writer }

func newOutput(w io.Writer) *output { return &output{bufio.NewWriterSize(w, 64<<10)} }

func (o *output) str(s string)              { _, _ = o.buf.WriteString(s) }
func (o *output) bytes(b []byte)            { _, _ = o.buf.Write(b) }
func (o *output) byte(c byte)               { _ = o.buf.WriteByte(c) }
func (o *output) printf(f string, a ...any) { fmt.Fprintf(o.buf, f, a...) }
func (o *output) flush() error              { return o.buf.Flush() }
func (o *output) reset(w io.Writer)         { o.buf.Reset(w) }

func (o *output) err() error {
	_, err := o.buf.Write(nil)
	return err
}
