package spool_test

import (
	"strings"
	"testing"

	"github.com/boule-db/boule/spool"
)

func TestMangle(t *testing.T) {
	for _, c := range []struct{ name, path, want string }{
		{"plain", "/a/b.db", "#a#b.db"},
		{"special", "/a#b%c\n\x7f", "#a%23b%25c%0A%7F"},
		{"unicode", "/größe", "#größe"},
		{"root", "/", "#"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := spool.Mangle(c.path)
			if got != c.want {
				t.Fatalf("Mangle(%q) = %q, want %q", c.path, got, c.want)
			}
			if path, ok := spool.Unmangle(got); !ok || path != c.path {
				t.Errorf("Unmangle(%q) = %q, %v", got, path, ok)
			}
		})
	}
}

func TestMangleBounds(t *testing.T) {
	for _, c := range []struct {
		length     int
		undoable   bool
		wantLength int
	}{{229, true, 229}, {230, false, 240}, {1009, false, 240}} {
		path := "/" + strings.Repeat("x", c.length-1)
		got := spool.Mangle(path)
		if len(got) != c.wantLength {
			t.Errorf("Mangle of %d bytes has %d bytes, want %d", c.length, len(got), c.wantLength)
		}
		if _, ok := spool.Unmangle(got); ok != c.undoable {
			t.Errorf("Unmangle of %d bytes: %v, want %v", c.length, ok, c.undoable)
		}
	}
}

func TestUnmangleRefuses(t *testing.T) {
	for _, s := range []string{"", "a", ".tap", "#a%", "#a%2", "#a%zz", "#a%2f", "#a%41", "#a/b", "#%c3%28%"} {
		if path, ok := spool.Unmangle(s); ok {
			t.Errorf("Unmangle(%q) = %q", s, path)
		}
	}
}

func FuzzUnmangle(f *testing.F) {
	f.Add("#a#b")
	f.Add("#%23%25")
	f.Fuzz(func(t *testing.T, s string) {
		if path, ok := spool.Unmangle(s); ok && spool.Mangle(path) != s {
			t.Errorf("%q is %q is %q", s, path, spool.Mangle(path))
		}
		if m := spool.Mangle(s); len(m) > 255 || strings.ContainsAny(m, "/\x00") {
			t.Errorf("Mangle(%q) = %q is no name of a directory", s, m)
		}
	})
}
