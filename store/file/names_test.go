package file

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPaths(t *testing.T) {
	long := strings.Repeat("l", 240)
	for _, tc := range []struct{ key, plain, fold string }{
		{"chunks/0123456789abcdef%2Ffedcba9876543210", "chunks/0123456789abcdef%2Ffedcba9876543210", "chunks/0123456789abcdef%2Ffedcba9876543210"},
		{"manifests/7cb1-boule%3Atest.com%3A80ad%2F%2Ftmp%2Ftest.db", "manifests/7cb1-boule%3Atest.com%3A80ad%2F%2Ftmp%2Ftest.db", "manifests/7cb1-boule%3Atest.com%3A80ad%2F%2Ftmp%2Ftest.db"},
		{"!*'()", "!*'()", "!~2a'()"},
		{"é", "é", "~c3~a9"},
		{"Readme.TXT", "Readme.TXT", "~52eadme.~54~58~54"},
		{"%2f%zz%AB%A", "%2f%zz%AB%A", "~252f~25zz%AB~25~41"},
		{"a//b/", "a/~_/b/~_", "a/~_/b/~_"},
		{"/", "~_/~_", "~_/~_"},
		{"./../...", "~2e/~2e~2e/...", "~2e/~2e~2e/..~2e"},
		{"~tmp/x\n", "~7etmp/x~0a", "~7etmp/x~0a"},
		{`a:b\c`, `a:b\c`, "a~3ab~5cc"},
		{"con/NUL.txt/com1x/end /end.", "con/NUL.txt/com1x/end /end.", "~63on/~4e~55~4c.txt/com1x/end~20/end~2e"},
		{long, long, long},
		{long + "x/y", long + "~+/~-x/y", long + "~+/~-x/y"},
		{long[1:] + "~", long[1:] + "~~+/~-7e", long[1:] + "~~+/~-7e"},
		{long + long, long + "~+/~-" + long, long + "~+/~-" + long},
		{long + long + ".", long + "~+/" + long + "~+/~-.", long + "~+/" + long + "~+/~-~2e"},
	} {
		for _, c := range []struct {
			codec
			want string
		}{{codec{}, tc.plain}, {codec{fold: true}, tc.fold}} {
			if got := c.place(tc.key).path(); got != c.want {
				t.Errorf("%q, fold = %v: got %q, want %q", tc.key, c.fold, got, c.want)
			}
		}
	}
}

// checkSegment checks what holds of the names of every segment.
func checkSegment(t *testing.T, c codec, segment string) {
	t.Helper()
	if got, ok := c.decode(c.encode(segment)); !ok || got != segment {
		t.Fatalf("%+v: %q becomes %q and then %q, %v", c, segment, c.encode(segment), got, ok)
	}
	for _, name := range c.names(segment) {
		if len(name)+len(objSuffix) > 255 || name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			t.Fatalf("%+v: %q has the name %q", c, segment, name)
		}
		if slices.Contains([]string{tmpDir, lockDir, foldMark}, name) {
			t.Fatalf("%+v: %q has the name %q of something else", c, segment, name)
		}
		if c.fold && bytes.ContainsFunc([]byte(name), func(r rune) bool { return r >= 0x80 }) {
			t.Fatalf("%q folds to %q, which is not ASCII", segment, name)
		}
	}
}

func FuzzSegment(f *testing.F) {
	for _, s := range []string{"", ".", "..", "a", "~", "~7e", "%2F", "%%2F", "%2%2F", "A", "é", "con", "con.", strings.Repeat("~", 300)} {
		f.Add(s, "b")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if strings.Contains(a, "/") || strings.Contains(b, "/") || len(a) > 1024 || len(b) > 1024 {
			return
		}
		for _, c := range []codec{{}, {fold: true}} {
			checkSegment(t, c, a)
			checkSegment(t, c, b)
			na, nb := strings.Join(c.names(a), "/"), strings.Join(c.names(b), "/")
			if a != b && (na == nb || c.fold && strings.EqualFold(na, nb)) {
				t.Fatalf("%+v: %q and %q share the name %q", c, a, b, na)
			}
		}
	})
}

func TestDecodeTakesOnlyWhatEncodeGives(t *testing.T) {
	for _, tc := range []struct {
		name string
		fold bool
	}{
		{"~", false},
		{"~4", false},
		{"~zz", false},
		{"~41", false},
		{"~7E", false},
		{"a~_", false},
		{".", false},
		{"a\n", false},
		{"A", true},
		{"%2f", true},
		{"é", true},
		{"con", true},
		{"a.", true},
		{"", false},
	} {
		if got, ok := (codec{fold: tc.fold}).decode(tc.name); ok {
			t.Errorf("%q (fold = %v) is taken for %q", tc.name, tc.fold, got)
		}
	}
	if d := cmp.Diff("A", func() string { s, _ := codec{fold: true}.decode("~41"); return s }()); d != "" {
		t.Error(d)
	}
}
