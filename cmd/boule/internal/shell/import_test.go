package shell_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule/cmd/boule/internal/shell"
)

func TestImport(t *testing.T) {
	dir := t.TempDir()
	for name, tc := range map[string]struct {
		file  string // its name, "f.csv" if empty
		data  string
		setup string
		dots  string // before the import
		args  string // "FILE t" if empty
		want  string // of SELECT *, with quote()
		sql   string // of the table that was made
		note  string // on stderr
		err   string // message
	}{
		"new table":                    {data: "a,b c,\"d\"\"e\"\n1,x,007\n2,,\"\"\n", sql: "CREATE TABLE \"t\"(\n\"a\" TEXT,\n\"b c\" TEXT,\n\"d\"\"e\" TEXT)", want: "'1'|'x'|'007'\n'2'|''|''\n"},
		"types of the table":           {data: "1,x\n2.5,y\nz,\n", setup: "CREATE TABLE t(n NUMERIC, s TEXT)", want: "1|'x'\n2.5|'y'\n'z'|''\n"},
		"generated columns":            {data: "1,x\n", setup: "CREATE TABLE t(n INT, g AS (n + 1), s)", want: "1|2|'x'\n"},
		"quotes and lines":             {data: "a,b\r\n\"x\r\ny\",\"p,\"\"q\"\"\"\r\n\"\n\",\"\"\r\n\r\nz\"z,w\r", want: "'x\r\ny'|'p,\"q\"'\n'\n'|''\n'z\"z'|'w\r'\n"},
		"byte order mark":              {data: "\xef\xbb\xbfa,b\n1,2", want: "'1'|'2'\n", sql: "CREATE TABLE \"t\"(\n\"a\" TEXT,\n\"b\" TEXT)"},
		"one column has blank lines":   {data: "a\nx\n\ny\n", want: "'x'\n''\n'y'\n"},
		"names twice or not at all":    {data: "a,A,,a_2,a\n1,2,3,4,5\n", want: "'1'|'2'|'3'|'4'|'5'\n", sql: "CREATE TABLE \"t\"(\n\"a\" TEXT,\n\"A_3\" TEXT,\n\"column3\" TEXT,\n\"a_2\" TEXT,\n\"a_4\" TEXT)", note: "Note: column 2 is named \"A_3\"\nNote: column 3 is named \"column3\"\nNote: column 5 is named \"a_4\"\n"},
		"skip":                         {data: "a title\n\"of two\nlines\",x\na,b\n1,2\n", args: "--skip 2 FILE t", want: "'1'|'2'\n"},
		"skip all":                     {data: "a\n", args: "--skip 2 FILE t", err: "f.csv: no rows"},
		"tabs":                         {file: "f.tsv", data: "a\tb\n1,2\t3\n", want: "'1,2'|'3'\n"},
		"--csv wins":                   {file: "f.tsv", data: "a,b\n1,2\t3\n", args: "--csv FILE t", want: "'1'|'2\t3'\n"},
		"current separator":            {file: "f.txt", data: "a|b\n1,2|3\n", want: "'1,2'|'3'\n"},
		"mode csv":                     {file: "f.txt", data: "a,b\n1,2\n", dots: ".mode csv", want: "'1'|'2'\n"},
		"view with a trigger":          {data: "1,2\n", setup: "CREATE TABLE u(x); CREATE VIEW t AS SELECT x, x FROM u; CREATE TRIGGER tr INSTEAD OF INSERT ON t BEGIN INSERT INTO u VALUES(new.x); END", want: "'1'|'1'\n"},
		"virtual table":                {data: "hello,world\n", setup: "CREATE VIRTUAL TABLE t USING fts5(a, b)", want: "'hello'|'world'\n"},
		"quoted table":                 {data: "x\n1\n", args: `FILE "t"`, want: "'1'\n"},
		"too few fields":               {data: "a,b\n1,2\n\"3\n\",4\n5\n", err: "f.csv: line 5: expected 2 fields, found 1"},
		"too many fields":              {data: "a,b\n1,2,3\n", err: "f.csv: line 2: expected 2 fields, found 3"},
		"quote without end":            {data: "a,b\n1,2\n3,\"4\n5,6\n", err: "f.csv: line 3: the quoted field that begins here never ends"},
		"text after a quote":           {data: "a,b\n1,\"2\n\"x\n", err: "f.csv: line 3: 'x' after the closing quote of a field"},
		"constraint":                   {data: "1\n2\n1\n", setup: "CREATE TABLE t(a INTEGER UNIQUE)", err: "f.csv: line 3: UNIQUE constraint failed: t.a"},
		"constraint that rolls back":   {data: "1\n2\n1\n", setup: "CREATE TABLE t(a UNIQUE ON CONFLICT ROLLBACK)", err: "f.csv: line 3: UNIQUE constraint failed: t.a"},
		"empty file":                   {data: "", err: "f.csv: no rows"},
		"empty file, table exists":     {data: "", setup: "CREATE TABLE t(a)", want: ""},
		"no such file":                 {args: "nowhere.csv t", err: "open nowhere.csv: no such file or directory"},
		"long separator":               {file: "f.txt", data: "a", dots: ".separator ab", err: `can't separate fields by "ab": want one character`},
		"unknown option":               {args: "--tsv FILE t", err: "usage: .import [--csv] [--skip N] FILE TABLE"},
		"no table":                     {args: "--csv FILE", err: "usage: .import [--csv] [--skip N] FILE TABLE"},
		"foreign key at the end of it": {data: "1\n", setup: "PRAGMA foreign_keys=ON; CREATE TABLE p(a PRIMARY KEY); CREATE TABLE t(a REFERENCES p DEFERRABLE INITIALLY DEFERRED)", err: "f.csv: FOREIGN KEY constraint failed"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.file == "" {
				tc.file = "f.csv"
			}
			if tc.args == "" {
				tc.args = "FILE t"
			}
			path := filepath.Join(dir, tc.file)
			if err := os.WriteFile(path, []byte(tc.data), 0o600); err != nil {
				t.Fatal(err)
			}
			conn := open(t, ":memory:")
			mustRun(t, conn, nil, tc.setup)
			before := mustRun(t, conn, nil, ".dump")
			r := runScript(t, conn, nil, tc.dots+"\n.import "+strings.ReplaceAll(tc.args, "FILE", "'"+path+"'"))
			if tc.err != "" {
				if r.Error == nil || !strings.HasSuffix(r.Error.Error(), tc.err) {
					t.Errorf("got %v, want ... %s", r.Error, tc.err)
				}
				diff(t, mustRun(t, conn, nil, ".dump"), before) // nothing of it
				return
			}
			if r.Error != nil {
				t.Fatal(r.Error)
			}
			diff(t, r.Err, tc.note)
			diff(t, quoted(t, conn, "SELECT * FROM t"), tc.want)
			if tc.sql != "" {
				diff(t, mustRun(t, conn, nil, "SELECT sql FROM sqlite_schema WHERE name = 't'"), tc.sql+"\n")
			}
		})
	}
}

// quoted prints rows with the types of values visible.
func quoted(t testing.TB, conn *sqlite3.Conn, sql string) string {
	t.Helper()
	stmt, _, err := conn.Prepare(sql)
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	var b strings.Builder
	for stmt.Step() {
		for i := range stmt.ColumnCount() {
			if i > 0 {
				b.WriteByte('|')
			}
			var v any
			switch stmt.ColumnType(i) {
			case sqlite3.INTEGER:
				v = stmt.ColumnInt64(i)
			case sqlite3.FLOAT:
				v = stmt.ColumnFloat(i)
			case sqlite3.TEXT:
				v = stmt.ColumnText(i)
			case sqlite3.BLOB:
				v = stmt.ColumnBlob(i, nil)
			}
			b.WriteString(sqlite3.Quote(v))
		}
		b.WriteByte('\n')
	}
	if err := stmt.Err(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestImportInsideATransaction(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.csv")
	if err := os.WriteFile(path, []byte("1\n2\nx,y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conn := open(t, ":memory:")
	r := runScript(t, conn, &shell.Options{Bail: -1}, "CREATE TABLE t(a); BEGIN; INSERT INTO t VALUES(0);\n.import '"+path+"' t\nCOMMIT; SELECT a FROM t;")
	if r.Error == nil || !strings.HasSuffix(r.Error.Error(), "f.csv: line 3: expected 1 fields, found 2") {
		t.Errorf("got %v", r.Error)
	}
	diff(t, r.Out, "0\n")
}

func TestImportOutOfMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.csv")
	if err := os.WriteFile(path, []byte("1\n"+strings.Repeat("x", 8<<20)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conn := open(t, ":memory:")
	r := runScript(t, conn, &shell.Options{Bail: -1}, "CREATE TABLE t(a); PRAGMA hard_heap_limit=4000000;\n.import '"+path+"' t\nSELECT count(*) FROM t;")
	if r.Error == nil || !strings.Contains(r.Error.Error(), "out of memory") {
		t.Errorf("got %v, want out of memory", r.Error)
	}
	diff(t, r.Out, "4000000\n0\n")
}

func TestImportOfWhatModeCSVPrints(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.csv")
	conn := open(t, ":memory:")
	mustRun(t, conn, nil, "CREATE TABLE t(a TEXT, b TEXT)")
	for _, text := range []string{"", "it's", "\"q\",|", "a\r\nb\nc\rd", "é 日本", " ", "\t", "a\x00b", "\xff"} {
		if err := conn.Exec("INSERT INTO t VALUES(" + shell.TextLiteral(text) + "," + shell.TextLiteral(text+"x") + ")"); err != nil {
			t.Fatal(err)
		}
	}
	data := mustRun(t, conn, nil, ".mode csv\n.headers on\nSELECT * FROM t;")
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, conn, nil, ".import '"+path+"' u")
	diff(t, mustRun(t, conn, nil, "SELECT hex(a), hex(b) FROM u"), mustRun(t, conn, nil, "SELECT hex(a), hex(b) FROM t"))
	if program := stock(t); program != "" {
		t.Run("by sqlite3", func(t *testing.T) {
			diff(t, runStock(t, program, ":memory:", ".import --csv '"+path+"' u\nSELECT hex(a) FROM u WHERE rowid < 8;"),
				mustRun(t, conn, nil, "SELECT hex(a) FROM t WHERE rowid < 8"))
		})
	}
}
