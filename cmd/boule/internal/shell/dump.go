package shell

import (
	"context"
	"fmt"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// dump prints the main database, or the tables that match, as SQL that makes
// the same again in an empty database, with the same rowids.
//
// Like that of the sqlite3 program it leaves foreign_keys off, puts virtual
// tables into the schema by writable_schema, and leaves out the header's
// fields (user_version and so on). It leaves out sqlite_stat4, which not every
// SQLite has; ANALYZE makes it again. After an error it ends in ROLLBACK, so
// that what was printed loads as nothing rather than in part.
func (s *Shell) dump(_ context.Context, args []string) (err error) {
	// One transaction, so that everything is of the same moment.
	if err := s.conn.Exec("SAVEPOINT boule_dump"); err != nil {
		return err
	}
	defer func() {
		old := s.conn.SetInterrupt(context.Background())
		defer s.conn.SetInterrupt(old)
		if rerr := s.conn.Exec("RELEASE boule_dump"); err == nil {
			err = rerr
		}
	}()

	s.out.str("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n")
	d := dumper{Shell: s}
	if err := d.objects(args); err != nil {
		s.out.str("ROLLBACK; -- because of an error\n")
		return err
	}
	if d.virtual {
		s.out.str("PRAGMA writable_schema=RESET;\n")
	}
	s.out.str("COMMIT;\n")
	return nil
}

type dumper struct {
	*Shell
	virtual bool // writable_schema is on
	buf     []byte
}

type object struct{ typ, name, table, sql string }

// objects prints tables first, then what refers to them.
func (d *dumper) objects(patterns []string) error {
	if len(patterns) == 0 {
		patterns = []string{""}
	}
	seen := map[string]bool{}
	var all []object
	for _, p := range patterns {
		objs, err := d.find(p)
		if err != nil {
			return err
		}
		if len(objs) == 0 && p != "" {
			return fmt.Errorf("no such table: %s", p)
		}
		for _, o := range objs {
			if key := o.typ + " " + o.name; !seen[key] {
				seen[key] = true
				all = append(all, o)
			}
		}
	}
	for _, tables := range []bool{true, false} {
		for _, o := range all {
			if (o.typ == "table") != tables {
				continue
			}
			if err := d.object(o); err != nil {
				return fmt.Errorf("%s %s: %w", o.typ, o.name, err)
			}
		}
	}
	return nil
}

// find returns the objects on one table or view, or on all that match.
func (d *dumper) find(pattern string) (objs []object, err error) {
	const query = "SELECT type, name, tbl_name, sql FROM main.sqlite_schema WHERE sql IS NOT NULL AND %s" +
		" ORDER BY name = 'sqlite_sequence', CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 WHEN 'view' THEN 2 ELSE 3 END, rowid"
	c := condition{"tbl_name = ?1 COLLATE NOCASE", pattern}
	for range 2 { // a name goes before a pattern: in LIKE, _ is any character
		err = d.query(fmt.Sprintf(query, c.expr), func(stmt *sqlite3.Stmt) error {
			objs = append(objs, object{stmt.ColumnText(0), stmt.ColumnText(1), stmt.ColumnText(2), stmt.ColumnText(3)})
			return nil
		}, c.param)
		if err != nil || len(objs) > 0 {
			return objs, err
		}
		c = matching("tbl_name", pattern)
	}
	return nil, nil
}

func (d *dumper) object(o object) error {
	lower := strings.ToLower(o.name)
	switch {
	case o.typ != "table":
		d.out.str(terminate(o.sql) + "\n")
		return nil
	case lower == "sqlite_sequence":
		d.out.str("DELETE FROM sqlite_sequence;\n")
	case lower == "sqlite_stat1":
		d.out.str("ANALYZE sqlite_schema;\n")
	case strings.HasPrefix(lower, "sqlite_"):
		return nil
	case len(o.sql) > 20 && strings.EqualFold(o.sql[:20], "CREATE VIRTUAL TABLE"):
		// Its shadow tables come with their content, so it must not be
		// created but only be declared.
		if !d.virtual {
			d.virtual = true
			d.out.str("PRAGMA writable_schema=ON;\n")
		}
		b := append(d.buf[:0], "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table',"...)
		b = appendText(b, []byte(o.name))
		b = append(b, ',')
		b = appendText(b, []byte(o.name))
		b = append(b, ",0,"...)
		b = appendText(b, []byte(o.sql))
		d.out.bytes(append(b, ");\n"...))
		return nil
	default:
		d.out.str(terminate(o.sql) + "\n")
	}
	return d.rows(o.name)
}

// rows prints INSERTs. Where a rowid is not the one that SQLite would choose,
// it is given.
func (d *dumper) rows(table string) error {
	info, err := d.describe("main", table)
	if err != nil {
		return err
	}
	cols := make([]string, len(info.columns))
	for i, c := range info.columns {
		cols[i] = quoteName(c)
	}
	list := strings.Join(cols, ",")
	query := "SELECT NULL"
	into := "INSERT INTO " + quoteName(table)
	intoRowid := ""
	if info.rowid != "" {
		query = "SELECT " + info.rowid
		intoRowid = into + "(" + info.rowid
		if list != "" {
			intoRowid += "," + list
		}
		intoRowid += ") VALUES("
	}
	into += " VALUES("
	if list != "" {
		query += "," + list
	}
	query += " FROM main." + quoteName(table)
	if info.rowid != "" {
		query += " ORDER BY " + info.rowid
	}
	last := int64(0)
	return d.query(query, func(stmt *sqlite3.Stmt) error {
		b := d.buf[:0]
		rowid := stmt.ColumnInt64(0)
		if explicit := intoRowid != "" && rowid != last+1; explicit {
			b = append(b, intoRowid...)
			b = appendInt(b, rowid)
			if list != "" {
				b = append(b, ',')
			}
		} else {
			b = append(b, into...)
		}
		last = rowid
		for i := range cols {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendLiteral(b, column(stmt, i+1))
		}
		b = append(b, ");\n"...)
		d.out.bytes(b)
		if d.buf = b; cap(b) > 1<<20 {
			d.buf = nil
		}
		return d.out.err()
	})
}
