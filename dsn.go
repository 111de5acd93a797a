package boule

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
)

// A location is what a data source name says: a path, or a SQLite URI
// ("file:…"). It is parsed as SQLite does, not as net/url: SQLite takes a % that
// no hexadecimal digits follow as it stands, and a + for a plus.
//
// https://sqlite.org/uri.html
type location struct {
	head   string   // the URI before its parameters, in the user's own spelling
	file   string   // the path that it names; empty or ":memory:" for a database without file
	params []string // key=value, not decoded
}

// parseLocation parses a data source name.
func parseLocation(name string) (location, error) {
	if strings.ContainsRune(name, 0) {
		return location{}, fmt.Errorf("boule: %q has a NUL in it", name)
	}
	rest, isURI := strings.CutPrefix(name, "file:")
	if !isURI {
		return location{head: fileURI(name), file: name}, nil
	}
	rest, _, _ = strings.Cut(rest, "#")
	path, query, _ := strings.Cut(rest, "?")
	l := location{head: "file:" + path, file: unescape(path)}
	if host, ok := strings.CutPrefix(path, "//"); ok {
		host, abs, _ := strings.Cut(host, "/")
		if host != "" && host != "localhost" {
			return location{}, fmt.Errorf("boule: %q names the host %q; write three slashes before an absolute path, none before a relative one", name, host)
		}
		l.file = unescape("/" + abs)
	}
	if runtime.GOOS == "windows" && len(l.file) > 2 && l.file[0] == '/' && l.file[2] == ':' {
		l.file = l.file[1:]
	}
	for param := range strings.SplitSeq(query, "&") {
		if param != "" {
			l.params = append(l.params, param)
		}
	}
	for _, s := range append([]string{l.file}, l.params...) {
		if strings.ContainsRune(unescape(s), 0) {
			return location{}, fmt.Errorf("boule: %q has a NUL in it", name)
		}
	}
	return l, nil
}

// param returns the last value of a parameter, which is the one that counts.
func (l location) param(key string) string {
	value := ""
	for _, p := range l.params {
		if k, v, _ := strings.Cut(p, "="); unescape(k) == key {
			value = unescape(v)
		}
	}
	return value
}

// inMemory says that no file is behind l.
func (l location) inMemory() bool {
	return l.file == "" || l.file == ":memory:" || l.param("mode") == "memory"
}

// in returns the URI of l in a VFS. A VFS that the user names is an error: through
// another one the database would not replicate.
func (l location) in(vfsName string) (string, error) {
	var params []string
	for _, p := range l.params {
		k, v, _ := strings.Cut(p, "=")
		switch {
		case unescape(k) != "vfs":
			params = append(params, p)
		case unescape(v) != vfsName:
			return "", fmt.Errorf("boule: %s has vfs=%s: leave it out, only boule's own VFS replicates", l.file, unescape(v))
		}
	}
	params = append(params, "vfs="+vfsName)
	return l.head + "?" + strings.Join(params, "&"), nil
}

// hasPragmas says that the URI has the parameter of go-sqlite3 that runs pragmas.
func (l location) hasPragmas() bool {
	for _, p := range l.params {
		if k, _, _ := strings.Cut(p, "="); unescape(k) == "_pragma" {
			return true
		}
	}
	return false
}

// unescape decodes %HH, as SQLite does.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := url.PathUnescape(s[i : i+3]); err == nil {
				b.WriteString(c)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// fileURI returns the SQLite URI of a path, without parameters.
func fileURI(path string) string {
	escaped := (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()
	if strings.HasPrefix(escaped, "//") {
		escaped = "//" + escaped // else what follows the slashes would be a host
	}
	return "file:" + escaped
}

// dsn is the SQLite URI of a path in a VFS.
func dsn(path, vfsName string, params ...string) string {
	return fileURI(path) + "?" + strings.Join(append([]string{"vfs=" + vfsName}, params...), "&")
}

// errNoFile reports a database without file where one is needed.
var errNoFile = errors.New("boule: a database in memory has no file and does not replicate")

// databaseFile returns the path of the file that a data source name leads to.
func databaseFile(name string) (string, error) {
	l, err := parseLocation(name)
	switch {
	case err != nil:
		return "", err
	case l.inMemory():
		return "", errNoFile
	}
	return l.file, nil
}
