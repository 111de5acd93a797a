package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// importFile inserts the rows of a CSV file into a table, all or none. If there
// is no such table it is made, with the first row as names. All values are
// text, until the table's types make something else of them.
//
// Fields are separated as --csv or the name of the file say, else by the
// current separator.
func (s *Shell) importFile(_ context.Context, args []string) error {
	sep := s.colSep
	named := false
	skip := 0
	var files []string
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--csv" || arg == "-csv":
			sep, named = ",", true
		case (arg == "--skip" || arg == "-skip") && len(args) > 0:
			n, err := strconv.Atoi(args[0])
			if err != nil || n < 0 {
				return errUsage
			}
			skip, args = n, args[1:]
		case strings.HasPrefix(arg, "-") && arg != "-":
			return errUsage
		default:
			files = append(files, arg)
		}
	}
	if len(files) != 2 {
		return errUsage
	}
	file, table := files[0], files[1]
	if !named {
		switch strings.ToLower(filepath.Ext(file)) {
		case ".csv":
			sep = ","
		case ".tsv":
			sep = "\t"
		}
	}
	if len(sep) != 1 || strings.ContainsAny(sep, "\"\r\n") {
		return fmt.Errorf("can't separate fields by %q: want one character", sep)
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	c := newCSVReader(f, sep[0])
	for range skip {
		if _, _, err := c.read(); err != nil {
			return s.importError(file, err)
		}
	}
	err = s.atomically(func() error { return s.importRows(c, table) })
	return s.importError(file, err)
}

func (s *Shell) importError(file string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("no rows")
	}
	return fmt.Errorf("%s: %w", filepath.Base(file), err)
}

// atomically runs f in a transaction, or in a part of the one that is open,
// and undoes everything if f fails.
func (s *Shell) atomically(f func() error) (err error) {
	if err := s.conn.Exec("SAVEPOINT boule_import"); err != nil {
		return err
	}
	returned := false // and has not run out of memory, which panics
	defer func() {
		if returned && err == nil {
			if err = s.conn.Exec("RELEASE boule_import"); err == nil {
				return
			}
		}
		if s.conn.GetAutocommit() {
			return // SQLite has rolled back
		}
		old := s.conn.SetInterrupt(context.Background())
		defer s.conn.SetInterrupt(old)
		if rerr := s.conn.Exec("ROLLBACK TO boule_import; RELEASE boule_import"); rerr != nil {
			err = errors.Join(err, fmt.Errorf("roll back: %w", rerr))
		}
	}()
	err = f()
	returned = true
	return err
}

func (s *Shell) importRows(c *csvReader, table string) error {
	info, err := s.describe("", table)
	if err != nil {
		return err
	}
	if len(info.columns) == 0 {
		if info.columns, err = s.importTable(c, table); err != nil {
			return err
		}
	}
	cols := make([]string, len(info.columns))
	for i, name := range info.columns {
		cols[i] = quoteName(name)
	}
	params := strings.Repeat(",?", len(cols))[1:]
	stmt, _, err := s.conn.Prepare("INSERT INTO " + quoteName(table) + "(" + strings.Join(cols, ",") + ") VALUES(" + params + ")")
	if err != nil {
		return err
	}
	defer closeStmt(stmt)
	for {
		fields, line, err := c.read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case len(fields) == 1 && fields[0] == "" && len(cols) > 1:
			continue // a blank line
		case len(fields) != len(cols):
			return fmt.Errorf("line %d: expected %d fields, found %d", line, len(cols), len(fields))
		}
		if err := insert(stmt, fields); err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
	}
}

func insert(stmt *sqlite3.Stmt, fields []string) error {
	for i, field := range fields {
		if err := stmt.BindText(i+1, field); err != nil {
			return err
		}
	}
	return stmt.Exec()
}

// importTable makes a table of the names in the first row. Names that are
// missing or there already get a number.
func (s *Shell) importTable(c *csvReader, table string) (cols []string, err error) {
	fields, _, err := c.read()
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, name := range fields {
		used[strings.ToLower(name)] = true
	}
	taken := map[string]bool{}
	var defs []string
	for i, name := range fields {
		name = strings.ReplaceAll(name, "\x00", "")
		if name == "" {
			name = "column" + strconv.Itoa(i+1)
		}
		unique := name
		for n := 2; taken[strings.ToLower(unique)] || unique != name && used[strings.ToLower(unique)]; n++ {
			unique = name + "_" + strconv.Itoa(n)
		}
		if unique != fields[i] {
			fmt.Fprintf(s.stderr, "Note: column %d is named %q\n", i+1, unique)
		}
		taken[strings.ToLower(unique)] = true
		cols = append(cols, unique)
		defs = append(defs, quoteName(unique)+" TEXT")
	}
	return cols, s.conn.Exec("CREATE TABLE " + quoteName(table) + "(\n" + strings.Join(defs, ",\n") + ")")
}
