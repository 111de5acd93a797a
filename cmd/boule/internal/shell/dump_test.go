package shell_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule/cmd/boule/internal/shell"
)

// everything has one of each thing that a dump has to get right.
const everything = `
CREATE TABLE plain(a, b TEXT DEFAULT 'x;''y', c REAL, "odd ""name""" INTEGER) -- a comment
;
INSERT INTO plain VALUES(NULL, '', 0.1, 1), (x'', x'00ff27', 1e300, -9223372036854775808),
 ('it''s' || char(10) || '\n' || char(13,10) || '\r', 'a' || char(0) || 'b\0', -5e-324, 9223372036854775807),
 (CAST(x'ff41' AS TEXT), 'é 日本 😀', 9e999, 2), (2.0, '-9e999', -9e999, 0.30000000000000004);
CREATE INDEX "an index" ON plain(a COLLATE NOCASE, lower(b)) WHERE c IS NOT NULL;
CREATE TABLE counted(id INTEGER PRIMARY KEY AUTOINCREMENT, v);
INSERT INTO counted VALUES(5, 'five'), (9, 'nine'); DELETE FROM counted WHERE id = 9;
CREATE TABLE made(a INTEGER, b AS (a * 2), c TEXT GENERATED ALWAYS AS (a || 'x') STORED, d);
INSERT INTO made(a, d) VALUES(1, 'd'), (2, NULL);
CREATE TABLE keyed(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
INSERT INTO keyed VALUES('b', 1), ('a', 2);
CREATE TABLE strict_one(a INT, b ANY, c BLOB, PRIMARY KEY(b, a)) STRICT;
INSERT INTO strict_one VALUES(1, '1', x'01'), (1, 1, NULL), (1, 1.5, x'');
CREATE TABLE gaps(v);
INSERT INTO gaps(rowid, v) VALUES(-3, 'a'), (1, 'b'), (2, 'c'), (1000, 'd'), (1001, 'e'), (9223372036854775807, 'f');
CREATE INDEX gaps_v ON gaps(v DESC); -- a covering index must not decide the order
CREATE TABLE hidden_rowid(rowid TEXT, oid, v); INSERT INTO hidden_rowid(_rowid_, rowid, oid, v) VALUES(7, 'x', 'y', 'z');
CREATE TABLE no_rowid(rowid TEXT, oid, _rowid_); INSERT INTO no_rowid VALUES('x', 'y', 'z');
CREATE TABLE descending(id INTEGER PRIMARY KEY DESC, v); INSERT INTO descending(rowid, id, v) VALUES(3, 10, 'a'), (8, 4, 'b');
CREATE TABLE "select"("from", "a""b"); INSERT INTO "select" VALUES(1, 2);
CREATE TABLE parent(id PRIMARY KEY); CREATE TABLE child(p REFERENCES parent(id));
INSERT INTO parent VALUES(1); INSERT INTO child VALUES(1);
CREATE VIEW seen AS SELECT a, b FROM plain /* open
;
CREATE TRIGGER seen_insert INSTEAD OF INSERT ON seen BEGIN INSERT INTO gaps(v) VALUES(';'); SELECT CASE WHEN 1 THEN 2 END; END;
CREATE TRIGGER counted_delete AFTER DELETE ON counted BEGIN -- it's a comment;
 DELETE FROM gaps WHERE v = old.v; END;
CREATE VIRTUAL TABLE notes USING fts5(title, body, tokenize = 'porter ascii');
INSERT INTO notes VALUES('first', 'running it''s'), ('second', 'line
end');
CREATE TABLE pages(body); INSERT INTO pages(rowid, body) VALUES(4, 'hello world'), (17, 'goodbye world');
CREATE VIRTUAL TABLE page_index USING fts5(body, content='pages'); INSERT INTO page_index(page_index) VALUES('rebuild');
CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1); INSERT INTO boxes VALUES(1, 0.5, 2), (2, 3, 4);
CREATE INDEX for_stats ON keyed(v); ANALYZE;
`

// everythingOf splits off the statement that has a comment without an end,
// which a script can't hold.
func makeEverything(t testing.TB, name string) *sqlite3.Conn {
	t.Helper()
	conn := open(t, name)
	before, after, _ := strings.Cut(everything, "CREATE VIEW")
	view, after, _ := strings.Cut(after, "\n;\n")
	mustRun(t, conn, nil, before)
	if err := conn.Exec("CREATE VIEW" + view); err != nil {
		t.Fatal(err)
	}
	mustRun(t, conn, nil, after)
	return conn
}

// contents returns all that a database holds as text, to the bit. SQL that
// both programs run.
const contents = `
SELECT type, name, tbl_name, replace(replace(rtrim(sql, ' ;/*' || char(10)), char(13), ''), char(10), '$') FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat4%' ORDER BY type, name;
SELECT 'plain', rowid, typeof(a), hex(a), typeof(b), hex(b), typeof(c), "odd ""name""" FROM plain ORDER BY rowid;
SELECT 'counted', * FROM counted; SELECT 'sequence', * FROM sqlite_sequence ORDER BY name;
SELECT 'made', rowid, * FROM made; SELECT 'keyed', * FROM keyed;
SELECT 'strict', rowid, a, typeof(b), b, hex(c) FROM strict_one ORDER BY rowid;
SELECT 'gaps', rowid, v FROM gaps ORDER BY rowid;
SELECT 'hidden', _rowid_, * FROM hidden_rowid; SELECT 'no', * FROM no_rowid;
SELECT 'descending', rowid, * FROM descending ORDER BY rowid; SELECT 'select', * FROM "select";
SELECT 'parent', * FROM parent; SELECT 'child', * FROM child; SELECT 'seen', count(*) FROM seen;
SELECT 'notes', rowid, title, hex(body) FROM notes WHERE notes MATCH 'run OR line' ORDER BY rowid;
SELECT 'pages', rowid, body FROM page_index WHERE page_index MATCH 'goodbye'; SELECT 'boxes', * FROM boxes WHERE x0 > 1;
SELECT 'stat', * FROM sqlite_stat1 ORDER BY 2, 3;
INSERT INTO notes(notes) VALUES('integrity-check'); INSERT INTO page_index(page_index) VALUES('integrity-check');
PRAGMA integrity_check;
`

func TestDumpMakesTheSameAgain(t *testing.T) {
	dir := t.TempDir()
	original := filepath.Join(dir, "original.db")
	conn := makeEverything(t, original)
	want := mustRun(t, conn, nil, contents)
	wantFloats := floats(t, conn, "SELECT c FROM plain ORDER BY rowid")
	dump := mustRun(t, conn, nil, ".dump")
	if strings.Contains(dump, "\r") || strings.Contains(dump, "\x00") {
		t.Error("the dump holds characters that programs which read lines change")
	}
	check := func(t *testing.T, got *sqlite3.Conn) {
		diff(t, mustRun(t, got, nil, contents), want)
		diff(t, floats(t, got, "SELECT c FROM plain ORDER BY rowid"), wantFloats)
		diff(t, mustRun(t, got, nil, ".dump"), dump)
		diff(t, mustRun(t, got, nil, "INSERT INTO counted(v) VALUES('next') RETURNING id"), "10\n")
	}
	t.Run("on the same connection", func(t *testing.T) {
		got := open(t, ":memory:")
		diff(t, mustRun(t, got, nil, dump), "")
		check(t, got)
	})
	t.Run("from a file", func(t *testing.T) {
		file := filepath.Join(dir, "dump.sql")
		if err := os.WriteFile(file, []byte(dump), 0o600); err != nil {
			t.Fatal(err)
		}
		db := filepath.Join(dir, "read.db")
		mustRun(t, open(t, db), nil, ".read '"+file+"'")
		check(t, open(t, db))
	})
	if program := stock(t); program != "" {
		t.Run("by sqlite3", func(t *testing.T) {
			db := filepath.Join(dir, "stock.db")
			diff(t, runStock(t, program, db, dump), "")
			check(t, open(t, db))
		})
		t.Run("read by sqlite3", func(t *testing.T) {
			diff(t, runStock(t, program, original, contents), want)
		})
		t.Run("of sqlite3", func(t *testing.T) {
			// Its dump keeps neither rowids nor NULs, and it does not close the
			// comment of the view.
			theirs := runStock(t, program, original, "BEGIN; DROP VIEW seen;\n.dump\nROLLBACK;")
			got := open(t, ":memory:")
			if r := runScript(t, got, &shell.Options{Bail: -1}, theirs); r.Out != "" {
				t.Errorf("got output %q", r.Out)
			}
			diff(t, mustRun(t, got, nil, "SELECT * FROM made; SELECT * FROM keyed; SELECT count(*) FROM gaps"), "1|2|1x|d\n2|4|2x|\na|2\nb|1\n6\n")
		})
	}
}

func floats(t testing.TB, conn *sqlite3.Conn, sql string) (bits []uint64) {
	t.Helper()
	stmt, _, err := conn.Prepare(sql)
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	for stmt.Step() {
		bits = append(bits, math.Float64bits(stmt.ColumnFloat(0)))
	}
	if err := stmt.Err(); err != nil {
		t.Fatal(err)
	}
	return bits
}

func TestDumpLooksLikeThatOfSQLite3(t *testing.T) {
	const script = `CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1,'x'),(2,NULL),(7,x'00ff'),(8,'a
b'); CREATE TABLE u(x UNIQUE); INSERT INTO u VALUES(1),(2); CREATE INDEX i ON t(b); CREATE VIEW v AS SELECT 1;
CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END;
.dump
`
	const want = `PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE t(a INTEGER PRIMARY KEY, b);
INSERT INTO "t" VALUES(1,'x');
INSERT INTO "t" VALUES(2,NULL);
INSERT INTO "t" VALUES(7,X'00ff');
INSERT INTO "t" VALUES(8,replace('a\nb','\n',char(10)));
CREATE TABLE u(x UNIQUE);
INSERT INTO "u" VALUES(1);
INSERT INTO "u" VALUES(2);
CREATE INDEX i ON t(b);
CREATE VIEW v AS SELECT 1;
CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END;
COMMIT;
`
	diff(t, mustRun(t, open(t, ":memory:"), nil, script), want)
	if program := stock(t); program != "" {
		t.Run("stock", func(t *testing.T) {
			theirs := runStock(t, program, ":memory:", script)
			diff(t, strings.NewReplacer(`"t"`, "t", `"u"`, "u").Replace(want), theirs)
		})
	}
}

func TestDumpOfSomeTables(t *testing.T) {
	conn := open(t, ":memory:")
	mustRun(t, conn, nil, `CREATE TABLE a_b(x); CREATE TABLE axb(x); CREATE INDEX i ON a_b(x); CREATE TABLE other(x);
		CREATE TRIGGER tr AFTER INSERT ON a_b BEGIN SELECT 1; END; CREATE VIEW v AS SELECT 2; INSERT INTO a_b VALUES(1);`)
	objects := func(args string) string {
		var names []string
		for line := range strings.Lines(mustRun(t, conn, nil, ".dump "+args)) {
			if f := strings.Fields(line); f[0] == "CREATE" || f[0] == "INSERT" {
				names = append(names, strings.TrimRight(strings.Trim(f[2], `"`), ";"))
			}
		}
		return strings.Join(names, " ")
	}
	for args, want := range map[string]string{
		"":              "a_b(x) a_b axb(x) other(x) i v tr",
		"a_b":           "a_b(x) a_b i tr", // a name, though _ is a pattern
		"A_B":           "a_b(x) a_b i tr",
		"a%":            "a_b(x) a_b axb(x) i tr",
		"o*":            "other(x)",
		"v":             "v",
		"a_b other a_b": "a_b(x) a_b other(x) i tr",
	} {
		diff(t, objects(args), want)
	}
	r := runScript(t, conn, nil, ".dump nope")
	diff(t, r.Err, "Error: line 1: .dump: no such table: nope\n")
	diff(t, r.Out, "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nROLLBACK; -- because of an error\n")
	diff(t, conn.GetAutocommit(), true)
}

func TestDumpInsideATransaction(t *testing.T) {
	conn := open(t, ":memory:")
	out := mustRun(t, conn, nil, "BEGIN; CREATE TABLE t(a);\n.dump\nROLLBACK; SELECT count(*) FROM sqlite_schema;")
	diff(t, out, "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE t(a);\nCOMMIT;\n0\n")
}

func TestRealLiteralsAreExact(t *testing.T) {
	fs := someFloats(t, 4000)
	var values []string
	for _, f := range fs {
		values = append(values, shell.RealLiteral(f))
	}
	script := "BEGIN; CREATE TABLE t(f REAL); INSERT INTO t VALUES(" + strings.Join(values, ");INSERT INTO t VALUES(") + "); COMMIT;"
	check := func(t *testing.T, conn *sqlite3.Conn) {
		bad := 0
		for i, bits := range floats(t, conn, "SELECT f FROM t ORDER BY rowid") {
			if bits != math.Float64bits(fs[i]) && bad < 10 {
				t.Errorf("%s gives %v, want %v", values[i], math.Float64frombits(bits), fs[i])
				bad++
			}
		}
	}
	t.Run("ours", func(t *testing.T) {
		conn := open(t, ":memory:")
		mustRun(t, conn, nil, script)
		check(t, conn)
	})
	if program := stock(t); program != "" {
		t.Run("stock", func(t *testing.T) {
			db := filepath.Join(t.TempDir(), "db")
			runStock(t, program, db, script)
			check(t, open(t, db))
		})
	}
	for f, want := range map[float64]string{0: "0.0", -1: "-1.0", 0.1: "0.1", 1e22: "1e+22", 0.30000000000000004: "3.0000000000000004e-01", math.Inf(-1): "-1e999", 0x1p-600: "(1*1.0/4503599627370496/4503599627370496/4503599627370496/4503599627370496/4503599627370496/4503599627370496/4503599627370496/4503599627370496/4503599627370496/4503599627370496/4503599627370496/268435456)"} {
		diff(t, shell.RealLiteral(f), want)
	}
}

func FuzzTextLiteral(f *testing.F) {
	for _, s := range []string{"", "it's", "a\nb\\n", "\r\n\\r\\n\\n(0)", "a\x00b\\0\\0(0)\\0(1)", "\xff\x00\n", "é\n"} {
		f.Add(s)
	}
	conn := open(f, ":memory:")
	f.Fuzz(func(t *testing.T, s string) {
		literal := shell.TextLiteral(s)
		if strings.ContainsAny(literal, "\r\n\x00") {
			t.Errorf("%q holds a control character", literal)
		}
		stmt, tail, err := conn.Prepare("SELECT " + literal + " AS t")
		if err != nil || tail != "" {
			t.Fatalf("%q: %v, tail %q", literal, err, tail)
		}
		defer stmt.Close()
		if !stmt.Step() || stmt.ColumnType(0) != sqlite3.TEXT || stmt.ColumnText(0) != s {
			t.Errorf("%s gives %q, want %q", literal, stmt.ColumnText(0), s)
		}
	})
}
