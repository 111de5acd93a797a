package shell_test

import (
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule/cmd/boule/internal/shell"
)

func TestSplit(t *testing.T) {
	sql := func(line int, text string) shell.Item { return shell.Item{Text: text, Line: line} }
	dot := func(line int, text string) shell.Item { return shell.Item{Dot: true, Text: text, Line: line} }
	trigger := "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN\n SELECT CASE 1 WHEN 2 THEN 3 END; UPDATE t SET a=1;END ;"
	for name, tc := range map[string]struct {
		text string
		want []shell.Item
	}{
		"statements":             {"a;b ;\n c", []shell.Item{sql(1, "a;"), sql(1, "b ;"), sql(2, "c")}},
		"nothing":                {" \n;; -- x;\n /* ; \n*/ ;", nil},
		"literals":               {"'a;''b' \";\" `;` [;] x';' ;z", []shell.Item{sql(1, "'a;''b' \";\" `;` [;] x';' ;"), sql(1, "z")}},
		"comments":               {"a -- ;'\n /* ;' */;b", []shell.Item{sql(1, "a -- ;'\n /* ;' */;"), sql(2, "b")}},
		"not comments":           {"a-b/c;-d;/e;", []shell.Item{sql(1, "a-b/c;"), sql(1, "-d;"), sql(1, "/e;")}},
		"stars":                  {"/*/ ; */a;/**/b;/***/c;", []shell.Item{sql(1, "a;"), sql(1, "b;"), sql(1, "c;")}},
		"trigger":                {trigger + "a", []shell.Item{sql(1, trigger), sql(2, "a")}},
		"explained trigger":      {"EXPLAIN QUERY PLAN " + trigger + "a", []shell.Item{sql(1, "EXPLAIN QUERY PLAN "+trigger), sql(2, "a")}},
		"end in a comment":       {"create trigger a; /*;END;*/ b; END; c", []shell.Item{sql(1, "create trigger a; /*;END;*/ b; END;"), sql(1, "c")}},
		"not quite a trigger":    {"CREATE TABLE trigger(a); CREATE UNIQUE TRIGGER; create_trigger; b", []shell.Item{sql(1, "CREATE TABLE trigger(a);"), sql(1, "CREATE UNIQUE TRIGGER;"), sql(1, "create_trigger;"), sql(1, "b")}},
		"end is a longer word":   {"create trigger a; ended; endendendend; end; c", []shell.Item{sql(1, "create trigger a; ended; endendendend; end;"), sql(1, "c")}},
		"variables":              {"$a(;'), @b::c(;) , :d; $(;e", []shell.Item{sql(1, "$a(;'), @b::c(;) , :d;"), sql(1, "$(;"), sql(1, "e")}},
		"dot commands":           {".a ';\n  .b\r\nc;.d;\n-- x\n.e", []shell.Item{dot(1, ".a ';\n"), dot(2, ".b\r\n"), sql(3, "c;"), sql(3, ".d;"), dot(5, ".e")}},
		"not dot commands":       {"a\n.b\n;/*\n.c*/ .d;/*\n*/.e;\n", []shell.Item{sql(1, "a\n.b\n;"), sql(4, ".d;"), sql(5, ".e;")}},
		"lines of notes":         {"# it's;\na;\n#b", []shell.Item{sql(2, "a;")}},
		"a dot after a comment":  {"-- x\n.a\n/* x\n */\n.b\n", []shell.Item{dot(2, ".a\n"), dot(5, ".b\n")}},
		"a literal without end":  {"a;'b;c", []shell.Item{sql(1, "a;"), sql(1, "'b;c")}},
		"a statement without ;":  {"a;b -- c", []shell.Item{sql(1, "a;"), sql(1, "b -- c")}},
		"lines after statements": {"a;\n\nb\n\n;c;", []shell.Item{sql(1, "a;"), sql(3, "b\n\n;"), sql(5, "c;")}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{1, 2, 3, 7, 1000} {
				got, _ := shell.Split(tc.text, n)
				diff(t, got, tc.want)
			}
		})
	}
}

func TestPending(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, " \n": false, "select 1;\n": false, "select 1": true, "select ';\n": true,
		"select 1; -- x\n": false, "select 1; /* x\n": true, "create trigger a begin select 1;\n": true,
		"create trigger a begin select 1; end;\n": false, "-": false, "- ": true, ".x": true, ".x\n": false,
	} {
		if got := shell.Pending(text); got != want {
			t.Errorf("after %q: got %v, want %v", text, got, want)
		}
	}
}

// fragments are what FuzzSplit builds SQL of.
var fragments = []string{
	";", " ", "\n", "SELECT ", "1", ",", "'a;b'", "''", "\";\"", "[;]", "`;`", "-- ;\n", "/* ; */", "-", "/", "*",
	"x'3b'", "$a(;)", ":b::c", "CREATE ", "TEMP ", "TRIGGER ", "END", "BEGIN ", "EXPLAIN ", "TABLE t(a)", ".5",
	"CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; SELECT ';' ; END", "CREATE TABLE IF NOT EXISTS t(a)",
	"it''s", "'", "\"", "SELECT 1;", "SELECT ';' AS \";\" /*;*/ -- ;\n;", "é", "\x01", "(", ")", "CASE 1 WHEN 1 THEN 2 END", "#",
}

// assemble makes SQL of data: of fragments, or as it is.
func assemble(data []byte) string {
	if len(data) > 0 && data[0]&1 == 0 {
		return strings.ReplaceAll(string(data[1:]), "\x00", " ")
	}
	var b strings.Builder
	for _, c := range data {
		b.WriteString(fragments[int(c)%len(fragments)])
	}
	return b.String()
}

// checkSplit checks that the items are the text, and that no statement that
// SQLite can compile crosses from one item into the next.
func checkSplit(t testing.TB, conn *sqlite3.Conn, text string) {
	items, ends := shell.Split(text, 1)
	for _, n := range []int{5, len(text) + 1} {
		again, _ := shell.Split(text, n)
		diff(t, again, items)
	}
	dropped := func(what string) {
		if strings.Contains(what, "#") {
			return
		}
		// The blank: to SQLite /* at the very end is no comment.
		if stmt, _, err := conn.Prepare(what + " "); stmt != nil || err != nil {
			t.Errorf("%q was dropped of %q: %v", what, text, err)
			stmt.Close()
		}
	}
	last := 0
	for i, it := range items {
		start := ends[i] - len(it.Text)
		if start < last || text[start:ends[i]] != it.Text {
			t.Fatalf("item %q of %q is not at its place, %d", it.Text, text, start)
		}
		if line := strings.Count(text[:start], "\n") + 1; line != it.Line {
			t.Errorf("item %q of %q: got line %d, want %d", it.Text, text, it.Line, line)
		}
		dropped(text[last:start])
		last = ends[i]
		if it.Dot {
			continue
		}
		rest := text[start:]
		if stmt, tail, err := conn.Prepare(rest); err == nil && stmt != nil {
			if used := len(rest) - len(tail); used > len(it.Text) {
				t.Errorf("item %q of %q is cut short: SQLite compiles %q", it.Text, text, rest[:used])
			}
			stmt.Close()
		}
	}
	dropped(text[last:])
}

func FuzzSplit(f *testing.F) {
	conn := open(f, ":memory:")
	if err := conn.Exec("CREATE TABLE t(a)"); err != nil {
		f.Fatal(err)
	}
	for i := range fragments {
		f.Add([]byte{1, byte(i), 0, 33, byte(i), 33, 27, 0, byte(i)})
	}
	for _, s := range []string{"SELECT 1;SELECT ';'", "create/**/trigger a;end;x", "$a(;", "[;", "/*/;*/;", "select $a:(;);select 1"} {
		f.Add([]byte("\x02" + s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 500 {
			return
		}
		checkSplit(t, conn, assemble(data))
	})
}

func TestSplitArgs(t *testing.T) {
	for line, want := range map[string][]string{
		"":                             nil,
		" a  b\t\r\n":                  {"a", "b"},
		`'a b' "c \"d\" \t\x41\101\q"`: {"a b", "c \"d\" \tAAq"},
		`'' ""`:                        {"", ""},
		`C:\new\table 'C:\n'`:          {`C:\new\table`, `C:\n`},
		`"\777\x4g"`:                   {"?7\x04g"},
	} {
		got, err := shell.SplitArgs(line)
		if err != nil {
			t.Errorf("%q: %v", line, err)
		}
		diff(t, got, want)
	}
	for _, line := range []string{`'a`, `"a`, `"a\`, `"a\"`} {
		if got, err := shell.SplitArgs(line); err == nil {
			t.Errorf("%q: got %q, want an error", line, got)
		}
	}
}
