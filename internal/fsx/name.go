package fsx

import (
	"io/fs"
	"strings"
	"syscall"
)

// checkName reports whether name may be used: relative, slash-separated, no "."
// or ".." or empty element, no NUL. The root itself, ".", is allowed on request.
func checkName(name string, root bool) error {
	if name == "." && root {
		return nil
	}
	if name == "." || !fs.ValidPath(asciiShape(name)) || strings.IndexByte(name, 0) >= 0 {
		return syscall.EINVAL
	}
	return nil
}

// asciiShape makes fs.ValidPath, which wants UTF-8, judge the shape of a name alone.
func asciiShape(name string) string { return strings.ToValidUTF8(name, "?") }

// splitName cuts a checked name before its last element.
func splitName(name string) (dir, base string) {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return "", name
}
