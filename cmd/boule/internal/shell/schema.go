package shell

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// A condition is an SQL expression on a name, with its one parameter.
type condition struct{ expr, param string }

// matching returns a condition that column matches pattern: with * ? or [ as
// by GLOB, otherwise as by LIKE, where \ escapes.
func matching(column, pattern string) condition {
	switch {
	case pattern == "":
		return condition{"?1 = ''", ""}
	case strings.ContainsAny(pattern, "*?["):
		return condition{"lower(" + column + ") GLOB lower(?1)", pattern}
	}
	return condition{column + ` LIKE ?1 ESCAPE '\'`, pattern}
}

const internalNames = `name LIKE 'sqlite\_%' ESCAPE '\'`

// attached returns the names of all databases, main first, temp second if
// there is one.
func (s *Shell) attached() ([]string, error) {
	return s.texts("SELECT name FROM pragma_database_list ORDER BY seq")
}

func optional(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func (s *Shell) tables(_ context.Context, args []string) error {
	return s.listNames(func(db string) ([]string, error) {
		c := matching("name", optional(args))
		return s.texts("SELECT name FROM "+quoteName(db)+".sqlite_schema WHERE type IN ('table','view') AND NOT "+
			internalNames+" AND "+c.expr, c.param)
	})
}

func (s *Shell) indexes(_ context.Context, args []string) error {
	return s.listNames(func(db string) ([]string, error) {
		c := matching("tbl_name", optional(args))
		return s.texts("SELECT name FROM "+quoteName(db)+".sqlite_schema WHERE type = 'index' AND NOT "+
			internalNames+" AND "+c.expr, c.param)
	})
}

// listNames prints what find returns for each database, sorted, in columns.
func (s *Shell) listNames(find func(db string) ([]string, error)) error {
	dbs, err := s.attached()
	if err != nil {
		return err
	}
	var names []string
	for _, db := range dbs {
		found, err := find(db)
		if err != nil {
			return err
		}
		for _, name := range found {
			if db != "main" {
				name = db + "." + name
			}
			names = append(names, visible([]byte(name)))
		}
	}
	slices.Sort(names)
	widest := 0
	for _, name := range names {
		widest = max(widest, width(name))
	}
	cols := max(1, 80/(widest+2))
	rows := (len(names) + cols - 1) / cols
	for i := range rows {
		for j := i; j < len(names); j += rows {
			if j > i {
				s.out.str("  ")
			}
			s.out.str(names[j])
			s.out.str(strings.Repeat(" ", widest-width(names[j])))
		}
		s.out.byte('\n')
	}
	return nil
}

func (s *Shell) databases(context.Context, []string) error {
	return s.query("SELECT name, file FROM pragma_database_list ORDER BY seq", func(stmt *sqlite3.Stmt) error {
		name, file := stmt.ColumnText(0), stmt.ColumnText(1)
		access := "r/w"
		if ro, _ := s.conn.ReadOnly(name); ro {
			access = "r/o"
		}
		if file == "" {
			file = `""`
		}
		s.out.printf("%s: %s %s\n", name, file, access)
		return nil
	})
}

// schema prints statements that make the objects of the tables that match.
// SQLite's own tables, which it makes itself, are left out.
func (s *Shell) schema(_ context.Context, args []string) error {
	dbs, err := s.attached()
	if err != nil {
		return err
	}
	for _, db := range dbs {
		c := matching("tbl_name", optional(args))
		sqls, err := s.texts("SELECT sql FROM "+quoteName(db)+".sqlite_schema WHERE sql IS NOT NULL AND NOT "+
			internalNames+" AND "+c.expr+" ORDER BY rowid", c.param)
		if err != nil {
			return err
		}
		if len(sqls) > 0 && db != "main" {
			s.out.printf("-- in %s:\n", quoteName(db))
		}
		for _, sql := range sqls {
			if db == "temp" {
				sql = temporary(sql)
			}
			s.out.str(terminate(sql) + "\n")
		}
	}
	return nil
}

// temporary gives back the word that SQLite leaves out of the schema.
func temporary(sql string) string {
	for _, what := range []string{"TABLE", "VIEW", "TRIGGER"} {
		if strings.HasPrefix(sql, "CREATE "+what) {
			return "CREATE TEMP " + sql[len("CREATE "):]
		}
	}
	return sql
}

// terminate returns a statement with a semicolon that is not part of a comment.
func terminate(sql string) string {
	for _, end := range []string{";", "\n;", "*/;"} {
		var sp splitter
		sp.feed([]byte(sql + end))
		if it, ok := sp.next(); ok && it.text == sql+end {
			return it.text
		}
	}
	return sql + "\n;"
}

// quoteName quotes an identifier.
func quoteName(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

func quoteText(text string) string {
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// A tableInfo is what SQLite knows of a table.
type tableInfo struct {
	columns []string // without hidden and generated ones
	rowid   string   // a name for a rowid that no column shows; empty if there is none
}

// describe returns what the database db, or any if that is empty, knows of a table.
func (s *Shell) describe(db, table string) (info tableInfo, err error) {
	var all []string
	keys, integer := 0, false
	err = s.query("SELECT name, type, pk, hidden FROM pragma_table_xinfo(?1, nullif(?2, ''))", func(stmt *sqlite3.Stmt) error {
		name := stmt.ColumnText(0)
		all = append(all, name)
		if stmt.ColumnInt(2) > 0 {
			keys++
			integer = strings.EqualFold(stmt.ColumnText(1), "INTEGER")
		}
		if stmt.ColumnInt(3) == 0 {
			info.columns = append(info.columns, name)
		}
		return nil
	}, table, db)
	if err != nil {
		return info, fmt.Errorf("describe table %s: %w", table, err)
	}
	// A table without rowids has an index of its primary key, and so has one
	// whose INTEGER PRIMARY KEY is not the rowid.
	indexes, err := s.texts("SELECT 1 FROM pragma_index_list(?1, nullif(?2, '')) WHERE origin = 'pk'", table, db)
	if err != nil {
		return info, fmt.Errorf("describe table %s: %w", table, err)
	}
	without, err := s.texts("SELECT 1 FROM pragma_table_list WHERE name = ?1 COLLATE NOCASE AND (?2 = '' OR schema = ?2) AND (wr OR type NOT IN ('table','shadow'))", table, db)
	if err != nil {
		return info, fmt.Errorf("describe table %s: %w", table, err)
	}
	if len(without) > 0 || keys == 1 && integer && len(indexes) == 0 {
		return info, nil
	}
	for _, name := range []string{"rowid", "_rowid_", "oid"} {
		if !slices.ContainsFunc(all, func(c string) bool { return strings.EqualFold(c, name) }) {
			info.rowid = name
			break
		}
	}
	return info, nil
}
