package manifest_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/boule-db/boule/manifest"
)

func TestSum(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{"nothing", nil, "99aa06d3014798d86001c324468d497f"},
		{"abc", []byte("abc"), "06b05ab6733a618578af5f94892f3950"},
		{"zeros", make([]byte, manifest.ChunkSize), manifest.ZeroChunk.String()},
	} {
		if got := manifest.Sum(c.in).String(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	b, err := manifest.Sum(nil).AppendBinary([]byte("x"))
	if got, want := string(b), "x\x99\xaa\x06\xd3\x01\x47\x98\xd8\x60\x01\xc3\x24\x46\x8d\x49\x7f"; got != want || err != nil {
		t.Errorf("binary form: got %x, %v, want %x", got, err, want)
	}
}

func TestHeaderSum(t *testing.T) {
	db := content(4096)
	if got, want := manifest.HeaderSum(db), manifest.Sum(db[:100]); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := manifest.HeaderSum(db[:17]), manifest.Sum(db[:17]); got != want {
		t.Errorf("short: got %v, want %v", got, want)
	}
	if got, want := manifest.HeaderSum(nil), manifest.Sum(nil); got != want {
		t.Errorf("empty: got %v, want %v", got, want)
	}
}

func TestCountAndChunkLen(t *testing.T) {
	for _, c := range []struct {
		size        int64
		count, last int
	}{
		{0, 0, 0}, {1, 1, 1}, {65535, 1, 65535}, {65536, 1, 65536}, {65537, 2, 1}, {1 << 40, 1 << 24, 65536},
	} {
		if got := manifest.Count(c.size); got != c.count {
			t.Errorf("Count(%d): got %d, want %d", c.size, got, c.count)
		}
		if got := manifest.ChunkLen(c.size, c.count-1); got != c.last {
			t.Errorf("ChunkLen(%d, last): got %d, want %d", c.size, got, c.last)
		}
		if got := manifest.ChunkLen(c.size, c.count); got != 0 {
			t.Errorf("ChunkLen(%d, beyond): got %d", c.size, got)
		}
	}
}

func TestChunkName(t *testing.T) {
	f := manifest.Fingerprint{Hi: 0x12ab, Lo: 1<<64 - 1}
	const want = "00000000000012ab%2Fffffffffffffffff"
	if got := f.ChunkName(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, err := manifest.ParseChunkName(want); got != f || err != nil {
		t.Errorf("got %v, %v, want %v", got, err, f)
	}
	for name, s := range map[string]string{
		"empty":      "",
		"slash":      "00000000000012ab/ffffffffffffffff",
		"lower 2f":   "00000000000012ab%2fffffffffffffffff",
		"upper case": "00000000000012AB%2Fffffffffffffffff",
		"short":      want[1:],
		"long":       want + "0",
		"sign":       "+0000000000012ab%2Fffffffffffffffff",
		"underscore": "0_000000000012ab%2Fffffffffffffffff",
		"not hex":    "00000000000012ag%2Fffffffffffffffff",
	} {
		got, err := manifest.ParseChunkName(s)
		wantIs(t, name, err, manifest.ErrCorrupt)
		if got != (manifest.Fingerprint{}) {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestShorten(t *testing.T) {
	long := strings.Repeat("0123456789", 100)
	for _, n := range []int{0, 1, 229} {
		if got := manifest.Shorten(long[:n]); got != long[:n] {
			t.Errorf("%d bytes: got %q", n, got)
		}
	}
	for _, n := range []int{230, 231, 239, 240, 241, 1000} {
		s := long[:n]
		want := s[:104] + manifest.Sum([]byte(s)).String() + s[n-104:]
		if got := manifest.Shorten(s); got != want || len(got) != 240 {
			t.Errorf("%d bytes: got %q, want %q", n, got, want)
		}
	}
}

func TestShortenRepairsUTF8(t *testing.T) {
	for name, s := range map[string]string{
		"2 bytes":         "x" + strings.Repeat("é", 200),
		"3 bytes":         strings.Repeat("€", 200),
		"4 bytes":         "xy" + strings.Repeat("😀", 200),
		"invalid":         strings.Repeat("\xff", 300),
		"valid mark":      strings.Repeat("\uFFFD", 100),
		"invalid in part": strings.Repeat("a", 100) + strings.Repeat("\xe2\x82", 100),
	} {
		got := manifest.Shorten(s)
		if len(got) != 240 || !utf8.ValidString(got) {
			t.Errorf("%s: got %d bytes, %q", name, len(got), got)
		}
		if !strings.Contains(got, manifest.Sum([]byte(s)).String()) {
			t.Errorf("%s: no fingerprint in %q", name, got)
		}
	}
	const euros = 100
	got := manifest.Shorten(strings.Repeat("€", euros))
	// 104 = 34 whole characters of 3 bytes, and 2 bytes of one cut apart.
	if want := strings.Repeat("€", 34) + "__"; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want the prefix %q", got, want)
	}
	if want := "__" + strings.Repeat("€", 34); !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want the suffix %q", got, want)
	}
}

func TestName(t *testing.T) {
	for _, c := range []struct{ name, host, path, want string }{
		{"plain", "test.com", "/tmp/test.db", "1563-boule%3Atest.com%3A2b53%2F%2Ftmp%2Ftest.db"},
		{"space", "example.com", "/a b", "bb73-boule%3Aexample.com%3A7297%2F%2Fa%20b"},
		{"empty", "", "", "94c2-boule%3A%3A94c2%2F"},
	} {
		if got := manifest.Name(c.host, c.path); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestParseName(t *testing.T) {
	for name, c := range map[string]struct{ host, path string }{
		"plain":            {"test.com", "/tmp/test.db"},
		"empty":            {"", ""},
		"empty host":       {"", "/a"},
		"empty path":       {"h", ""},
		"colons":           {"[fe80::1]:8080", "/a:b"},
		"separator inside": {"h:1234/x", "/a:0000/b"},
		"own separator":    {"test.com:2b53//tmp", "/tmp/test.db"},
		"percent":          {"100%", "/50%2F"},
		"unicode":          {"hôte", "/données/base.db"},
		"not utf-8":        {"h\xff", "/\x00\xfe"},
		"marks":            {"!-_.*'()", "/!-_.*'()~+\"\\"},
	} {
		blob := manifest.Name(c.host, c.path)
		host, path, ok := manifest.ParseName(blob)
		if !ok || host != c.host || path != c.path {
			t.Errorf("%s: %s: got %q, %q, %v", name, blob, host, path, ok)
		}
	}
	good := manifest.Name("test.com", "/tmp/test.db")
	for name, s := range map[string]string{
		"empty":             "",
		"another program's": strings.Replace(good, "boule", "other", 1),
		"wrong host hash":   "1564" + good[4:],
		"wrong path hash":   strings.Replace(good, "2b53", "2b54", 1),
		"not escaped":       strings.ReplaceAll(good, "%2F", "/"),
		"lower escapes":     strings.ReplaceAll(good, "%2F", "%2f"),
		"cut escape":        good[:len(good)-len("tmp%2Ftest.db")] + "%2",
		"bad escape":        good + "%GG",
		"upper hash":        strings.Replace(good, "2b53", "2B53", 1),
		"shortened":         manifest.Name("test.com", "/"+strings.Repeat("x", 300)),
		"prefix":            good[:20],
		"short":             "12",
	} {
		if host, path, ok := manifest.ParseName(s); ok {
			t.Errorf("%s: %s: got %q, %q", name, s, host, path)
		}
	}
}

func TestNameBounds(t *testing.T) {
	// 27 characters stand around a host and a path of plain characters.
	const around = len("0000-boule%3A%3A0000%2F")
	fits := strings.Repeat("x", 229-around)
	name := manifest.Name("", fits)
	if len(name) != 229 {
		t.Fatalf("got %d characters", len(name))
	}
	if _, path, ok := manifest.ParseName(name); !ok || path != fits {
		t.Errorf("229 characters: got %q, %v", path, ok)
	}
	name = manifest.Name("", fits+"x")
	if len(name) != 240 {
		t.Errorf("230 characters: got %d", len(name))
	}
	if _, _, ok := manifest.ParseName(name); ok {
		t.Errorf("%s was parsed", name)
	}
}

func TestNamesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		host := string(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "host"))
		path := rapid.String().Draw(t, "path")
		name := manifest.Name(host, path)
		if len(name) > 240 || strings.ContainsAny(name, "/\\:# \x00") {
			t.Fatalf("got %q", name)
		}
		h, p, ok := manifest.ParseName(name)
		if long := len(name) >= 230; ok == long {
			t.Fatalf("%d characters: got %v", len(name), ok)
		}
		if ok && (h != host || p != path) {
			t.Fatalf("%s: got %q, %q", name, h, p)
		}
		f := manifest.Fingerprint{Hi: rapid.Uint64().Draw(t, "hi"), Lo: rapid.Uint64().Draw(t, "lo")}
		if got, err := manifest.ParseChunkName(f.ChunkName()); got != f || err != nil {
			t.Fatalf("%v: got %v, %v", f, got, err)
		}
	})
}

func FuzzParseName(f *testing.F) {
	f.Add(manifest.Name("test.com", "/tmp/test.db"))
	f.Add(manifest.Name("a:0000/b", "/tmp/\xff"))
	f.Fuzz(func(t *testing.T, s string) {
		if host, path, ok := manifest.ParseName(s); ok && manifest.Name(host, path) != s {
			t.Errorf("%q, %q have another name", host, path)
		}
		if got, err := manifest.ParseChunkName(s); err == nil && got.ChunkName() != s {
			t.Errorf("%v has another name", got)
		}
		if got := manifest.Shorten(s); len(got) != 240 && got != s {
			t.Errorf("got %d bytes", len(got))
		}
	})
}
