package shell_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule/cmd/boule/internal/shell"
)

// sample has values of all types and everything that needs care in some mode.
const sample = `CREATE TABLE t(a, "b c", d);
INSERT INTO t VALUES(1, 'x', NULL), (-9223372036854775808, 'it''s', 0.1), (9223372036854775807, 'a,"b"|c', 1e100),
 (2.0, 'line
end' || char(13,10), -1.5e-7), ('', 'é 日本', 123456789012345.0), (' ', 'tab	', 0.30000000000000004), (9e999, char(1,31,127), -9e999);
SELECT * FROM t; SELECT 1 AS one; SELECT * FROM t WHERE 0; SELECT count(*), 'a' || 'b' FROM t;
`

func TestModesPrintWhatSQLite3Prints(t *testing.T) {
	program := stock(t)
	if program == "" {
		return
	}
	for _, setup := range []string{
		".mode list", ".mode list\n.headers on", ".mode csv", ".mode csv\n.headers on", ".mode list\n.nullvalue NIL\n.separator ', '",
		".mode csv\n.nullvalue NIL\n.separator ;", ".mode csv\n.separator ab \"\\n\"", ".mode list\n.separator \"\\t\" \"\\r\\n\"",
	} {
		t.Run(setup, func(t *testing.T) {
			script := setup + "\n" + sample
			diff(t, mustRun(t, open(t, ":memory:"), nil, script), runStock(t, program, ":memory:", script))
		})
	}
	t.Run("json", func(t *testing.T) {
		script := ".mode json\n" + strings.ReplaceAll(sample, "9e999", "NULL")
		got, want := arrays(t, mustRun(t, open(t, ":memory:"), nil, script)), arrays(t, runStock(t, program, ":memory:", script))
		diff(t, got, want)
	})
	t.Run("blobs in json", func(t *testing.T) {
		script := ".mode json\nSELECT x'00017f22', x'', x'c3a95c' AS b;"
		got, want := mustRun(t, open(t, ":memory:"), nil, script), runStock(t, program, ":memory:", script)
		diff(t, arrays(t, got), arrays(t, want))
	})
	t.Run("names", func(t *testing.T) {
		script := "CREATE TABLE b(x); CREATE TABLE a(x); CREATE VIEW c AS SELECT 1; CREATE INDEX i ON a(x); CREATE INDEX j ON b(x);" +
			"CREATE TABLE a_rather_long_name(x PRIMARY KEY);\n.tables\n.tables a%\n.indexes\n.indexes b\n"
		// sqlite3 lists SQLite's own indexes, too.
		want := runStock(t, program, ":memory:", strings.ReplaceAll(script, " PRIMARY KEY", ""))
		diff(t, mustRun(t, open(t, ":memory:"), nil, script), want)
	})
}

// arrays parses JSON documents; numbers become float64 unless they are integers.
func arrays(t *testing.T, text string) (all []any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	for dec.More() {
		var v []map[string]any
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		for _, row := range v {
			for k, x := range row {
				if n, ok := x.(json.Number); ok && strings.ContainsAny(string(n), ".e") {
					f, err := n.Float64()
					if err != nil {
						t.Fatal(err)
					}
					row[k] = f
				}
			}
		}
		all = append(all, v)
	}
	return all
}

func TestModeGolden(t *testing.T) {
	for name, tc := range map[string]struct{ script, want string }{
		"csv":         {".mode csv\n.headers on\nSELECT NULL AS n, '' AS e, 'a\"b' AS \"q,\", x'00ff' AS b", "n,e,\"q,\",b\r\n,\"\",\"a\"\"b\",\"\x00\xff\"\r\n"},
		"json":        {".mode json\nSELECT 9223372036854775807 AS i, 0.1 AS f, 2.0 AS g, 1e-7 AS h, 1e300 AS j, 9e999 AS k, NULL AS n, 'é\"\\' || char(10) AS t, x'c3a9ff00' AS b", "[{\"i\":9223372036854775807,\"f\":0.1,\"g\":2.0,\"h\":1e-07,\"j\":1e+300,\"k\":null,\"n\":null,\"t\":\"é\\\"\\\\\\n\",\"b\":\"é\\u00ff\\u0000\"}]\n"},
		"json rows":   {".mode json\nVALUES(1),(2),(3)", "[{\"column1\":1},\n{\"column1\":2},\n{\"column1\":3}]\n"},
		"table":       {".mode table\nSELECT 1 AS id, 'é' AS text, NULL AS n UNION ALL SELECT -12, '日本', 1.5", "┌─────┬──────┬─────┐\n│ id  │ text │ n   │\n├─────┼──────┼─────┤\n│   1 │ é    │     │\n│ -12 │ 日本 │ 1.5 │\n└─────┴──────┴─────┘\n"},
		"bare table":  {".mode table\n.headers off\nSELECT 1 AS long_name", "┌───┐\n│ 1 │\n└───┘\n"},
		"empty table": {".mode table\nSELECT 1 WHERE 0", ""},
		"terminal":    {".mode table\n.headers off\nSELECT char(27) || '[2J' || char(0,10,127,155) || char(0x202e) || CAST(x'ff' AS TEXT), x'00ff', zeroblob(100)", "┌────────────┬─────────┬──────────────────────────────────────────────────────────────────────────────────┐\n│ ␛[2J␀␊␡��� │ x'00ff' │ x'0000000000000000000000000000000000000000000000000000000000000000…' (100 bytes) │\n└────────────┴─────────┴──────────────────────────────────────────────────────────────────────────────────┘\n"},
	} {
		t.Run(name, func(t *testing.T) {
			diff(t, mustRun(t, open(t, ":memory:"), nil, tc.script), tc.want)
		})
	}
}

func TestInteractiveDefaultIsTable(t *testing.T) {
	r := runArgs(t, open(t, ":memory:"), &shell.Options{Interactive: true}, "SELECT 1 AS a")
	diff(t, r.Out, "┌───┐\n│ a │\n├───┤\n│ 1 │\n└───┘\n")
}

func TestTableSettlesItsWidths(t *testing.T) {
	n := shell.TableRows + 10
	script := fmt.Sprintf("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT %d) SELECT CASE WHEN x > %d THEN 'longer' ELSE 'x' END AS a FROM c;", n, shell.TableRows)
	lines := strings.Split(mustRun(t, open(t, ":memory:"), &shell.Options{Mode: "table"}, script), "\n")
	diff(t, len(lines), 3+n+1+1)
	diff(t, lines[3], "│ x │")
	diff(t, lines[3+n-1], "│ longer │")
	diff(t, lines[3+n], "└───┘")
}

// countingWriter keeps the largest write, so that nothing is held back.
type countingWriter struct{ n, largest int }

func (w *countingWriter) Write(p []byte) (int, error) {
	w.n += len(p)
	w.largest = max(w.largest, len(p))
	return len(p), nil
}

func TestRowsAreStreamed(t *testing.T) {
	for _, mode := range []string{"list", "csv", "json", "table"} {
		t.Run(mode, func(t *testing.T) {
			w := &countingWriter{}
			s := shell.New(open(t, ":memory:"), &shell.Options{Mode: mode, Stdout: w})
			err := s.RunArgs(context.Background(), []string{"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 20000) SELECT x, hex(zeroblob(20)) FROM c"})
			if err != nil {
				t.Fatal(err)
			}
			if w.n < 20000*45 || w.largest > 64<<10 {
				t.Errorf("got %d bytes, up to %d at once", w.n, w.largest)
			}
		})
	}
}

func TestJSONFloatsReadBackTheSame(t *testing.T) {
	conn := open(t, ":memory:")
	if err := conn.Exec("CREATE TABLE t(i INTEGER PRIMARY KEY, f)"); err != nil {
		t.Fatal(err)
	}
	want := someFloats(t, 500)
	insertFloats(t, conn, want)
	var rows []struct{ F float64 }
	if err := json.Unmarshal([]byte(mustRun(t, conn, &shell.Options{JSON: true}, "SELECT f FROM t ORDER BY i")), &rows); err != nil {
		t.Fatal(err)
	}
	for i, f := range want {
		if math.Float64bits(rows[i].F) != math.Float64bits(f) {
			t.Errorf("got %v, want %v", rows[i].F, f)
		}
	}
}

// someFloats returns finite floats of all magnitudes.
func someFloats(t testing.TB, n int) []float64 {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	fs := []float64{0.1, 0.30000000000000004, 1e22, 1e23, 123456789012345678, 5e-324, math.MaxFloat64, math.SmallestNonzeroFloat64 * 12345, 2.2250738585072014e-308, -1.5, 1e300, -1e-300, 1 << 53, 1 << 62, -(1 << 63), 3.141592653589793, 1e15, 1e16, 0.0001, 0.00001}
	for len(fs) < n {
		f := math.Float64frombits(r.Uint64())
		switch len(fs) % 4 {
		case 0:
			f = r.Float64()
		case 1:
			f = math.Round(r.Float64()*1e6) / 100
		case 2:
			f = r.NormFloat64() * math.Pow(10, float64(r.IntN(60)-30))
		}
		if !math.IsNaN(f) && !math.IsInf(f, 0) {
			fs = append(fs, f)
		}
	}
	return fs
}

func insertFloats(t testing.TB, conn *sqlite3.Conn, fs []float64) {
	t.Helper()
	stmt, _, err := conn.Prepare("INSERT INTO t(f) VALUES(?)")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	for _, f := range fs {
		if err := stmt.BindFloat(1, f); err != nil {
			t.Fatal(err)
		}
		if err := stmt.Exec(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCSVReadsBack(t *testing.T) {
	texts := []string{"", "a", "a b", `"`, `""`, "a,b", "a\r\nb", "\n", "\r", "é", "\x00", "'", " x ", "|"}
	conn := open(t, ":memory:")
	if err := conn.Exec("CREATE TABLE t(a, b)"); err != nil {
		t.Fatal(err)
	}
	var want [][]string
	for _, text := range texts {
		if err := conn.Exec("INSERT INTO t VALUES(" + shell.TextLiteral(text) + ",1)"); err != nil {
			t.Fatal(err)
		}
		// encoding/csv makes \n of \r\n inside of quotes.
		want = append(want, []string{strings.ReplaceAll(text, "\r\n", "\n"), "1"})
	}
	out := mustRun(t, conn, &shell.Options{Mode: "csv"}, "SELECT * FROM t")
	got, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	diff(t, got, want)
}

func FuzzJSONString(f *testing.F) {
	for _, s := range []string{"", "a\"\\\x00\x1f\x7f", "é\xff\xc3", "\u2028😀"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal([]byte(shell.JSONString(s)), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		var want bytes.Buffer
		for i, r := range s {
			if r == '\uFFFD' && !strings.HasPrefix(s[i:], "\uFFFD") {
				r = rune(s[i])
			}
			want.WriteRune(r)
		}
		diff(t, got, want.String())
	})
}
