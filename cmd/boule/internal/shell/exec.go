package shell

import (
	"errors"
	"runtime"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// runSQL runs the statements of an item.
func (s *Shell) runSQL(src source, it item) (err error) {
	if i := strings.IndexByte(it.text, 0); i >= 0 {
		return s.locate(src, it, i, errors.New("SQL holds a NUL character")) // where SQLite would stop reading
	}
	defer recoverMemory(&err)
	for rest := it.text; rest != ""; {
		stmt, tail, err := s.conn.Prepare(rest)
		if err != nil {
			offset := -1
			var serr *sqlite3.Error
			if errors.As(err, &serr) && serr.SQL() != "" {
				offset = len(it.text) - len(serr.SQL())
			}
			return s.locate(src, it, offset, err)
		}
		if stmt == nil {
			return nil // only comments are left
		}
		if err := s.runStmt(stmt); err != nil {
			offset := len(it.text) - len(rest)
			offset += len(rest) - len(strings.TrimLeft(rest, " \t\r\n\f"))
			e := s.locate(src, it, offset, err)
			e.Context = ""
			return e
		}
		rest = tail
	}
	return nil
}

// recoverMemory makes an error of the panic that go-sqlite3 raises when SQLite
// has run out of memory. The connection stays usable.
func recoverMemory(err *error) {
	switch r := recover().(type) {
	case nil:
	case runtime.Error:
		panic(r)
	case error:
		if !strings.Contains(r.Error(), "out of memory") {
			panic(r)
		}
		*err = r
	default:
		panic(r)
	}
}

// locate says where in the source the error at an offset of the item is.
func (s *Shell) locate(src source, it item, offset int, err error) *Error {
	e := &Error{Source: src.name, Err: err}
	if !src.user {
		e.Line = it.line
	}
	if offset >= 0 {
		if !src.user {
			e.Line += strings.Count(it.text[:offset], "\n")
		}
		e.Context = mark(it.text, offset)
	}
	return e
}

// runStmt runs one statement, prints its rows, and closes it.
func (s *Shell) runStmt(stmt *sqlite3.Stmt) error {
	defer closeStmt(stmt)
	n := stmt.ColumnCount()
	var p printer
	row := make([]cell, n)
	for stmt.Step() {
		if n == 0 {
			continue
		}
		if p == nil {
			names := make([]string, n)
			for i := range names {
				names[i] = stmt.ColumnName(i)
			}
			p = s.newPrinter()
			p.begin(names)
		}
		for i := range row {
			row[i] = column(stmt, i)
			p.cell(row[i])
		}
		p.endRow()
		if s.out.err() != nil {
			return nil // whoever flushes gets the same error
		}
	}
	err := stmt.Err()
	if p != nil {
		p.end()
	}
	if err != nil {
		return err
	}
	if s.changes {
		s.out.printf("changes: %d   total_changes: %d\n", s.conn.Changes(), s.conn.TotalChanges())
	}
	return nil
}

// closeStmt ignores the error: it only repeats that of the last Step.
func closeStmt(stmt *sqlite3.Stmt) { _ = stmt.Close() }

// A cell is one value of a row. Its bytes are SQLite's and last until the next
// value is read.
type cell struct {
	typ  sqlite3.Datatype
	num  int64   // of an INTEGER
	real float64 // of a FLOAT
	data []byte  // of a TEXT or BLOB; of a FLOAT what SQLite makes of it
}

func column(stmt *sqlite3.Stmt, i int) cell {
	c := cell{typ: stmt.ColumnType(i)}
	switch c.typ {
	case sqlite3.INTEGER:
		c.num = stmt.ColumnInt64(i)
	case sqlite3.FLOAT:
		c.real = stmt.ColumnFloat(i)
		c.data = stmt.ColumnRawText(i)
	case sqlite3.TEXT:
		c.data = stmt.ColumnRawText(i)
	case sqlite3.BLOB:
		c.data = stmt.ColumnRawBlob(i)
	}
	return c
}

// query runs one statement with text parameters for the shell's own needs and
// calls row on each row.
func (s *Shell) query(sql string, row func(*sqlite3.Stmt) error, params ...string) error {
	stmt, _, err := s.conn.Prepare(sql)
	if err != nil {
		return err
	}
	defer closeStmt(stmt)
	for i, p := range params {
		if err := stmt.BindText(i+1, p); err != nil {
			return err
		}
	}
	for stmt.Step() {
		if err := row(stmt); err != nil {
			return err
		}
	}
	return stmt.Err()
}

// texts returns the first column of a query.
func (s *Shell) texts(sql string, params ...string) (list []string, err error) {
	err = s.query(sql, func(stmt *sqlite3.Stmt) error {
		list = append(list, stmt.ColumnText(0))
		return nil
	}, params...)
	return list, err
}
