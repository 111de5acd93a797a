package file

import "strings"

// Names that are not those of objects. A tilde that is not followed by two
// lower-case hex digits can't come from a key.
const (
	tmpDir  = "~tmp"
	lockDir = "~lock"
	// foldMark is in the directory if its file system folds cases.
	foldMark = "~fold"

	emptyName  = "~_"
	objSuffix  = "~o" // an object beside a directory of its name
	moreSuffix = "~+" // a piece of a long segment, but not the last
	lastPrefix = "~-" // the last piece of a long segment
)

// pieceLen is the length of the longest name of a segment in one piece. With a
// suffix it stays below the 255 bytes that file systems have.
const pieceLen = 240

// A codec turns segments of keys into names of files and back.
type codec struct{ fold bool }

const lowerHex = "0123456789abcdef"

// keyPath returns the directories and the name that the object is in.
func (c codec) keyPath(key string) (dirs []string, name string) {
	segments := strings.Split(key, "/")
	for _, s := range segments {
		dirs = append(dirs, c.names(s)...)
	}
	last := len(dirs) - 1
	return dirs[:last], dirs[last]
}

// names returns the name of a segment, or the names of its pieces.
func (c codec) names(segment string) []string {
	e := c.encode(segment)
	if len(e) <= pieceLen {
		return []string{e}
	}
	var names []string
	for len(e) > pieceLen {
		names = append(names, e[:pieceLen]+moreSuffix)
		e = e[pieceLen:]
	}
	return append(names, lastPrefix+e)
}

// encode returns the segment in one piece, whatever its length.
func (c codec) encode(segment string) string {
	if segment == "" {
		return emptyName
	}
	dots := segment == "." || segment == ".."
	device := c.fold && isDevice(segment)
	var b strings.Builder
	for i := range len(segment) {
		ch := segment[i]
		switch {
		case ch < 0x20, ch == 0x7f, ch == '~', dots, device && i == 0:
		case c.fold && c.folds(segment, i):
		default:
			b.WriteByte(ch)
			continue
		}
		b.Write([]byte{'~', lowerHex[ch>>4], lowerHex[ch&15]})
	}
	return b.String()
}

// folds reports whether the i-th byte needs hex on a file system that folds.
func (c codec) folds(segment string, i int) bool {
	ch := segment[i]
	switch {
	case ch >= 0x80, strings.IndexByte(`<>:"\|?*`, ch) >= 0:
		return true
	case ch == '.' || ch == ' ':
		return i == len(segment)-1
	case ch == '%':
		return !isEscape(segment, i)
	case ch >= 'A' && ch <= 'Z':
		return !isEscape(segment, i-1) && !isEscape(segment, i-2)
	}
	return false
}

// isEscape reports whether a percent escape in its usual form is at s[i].
func isEscape(s string, i int) bool {
	return i >= 0 && i+2 < len(s) && s[i] == '%' && isUpperHex(s[i+1]) && isUpperHex(s[i+2])
}

func isUpperHex(ch byte) bool { return ch >= '0' && ch <= '9' || ch >= 'A' && ch <= 'F' }

// isDevice reports whether Windows takes the name for a device's.
func isDevice(segment string) bool {
	base, _, _ := strings.Cut(strings.ToLower(segment), ".")
	base = strings.TrimRight(base, " ")
	switch base {
	case "con", "prn", "aux", "nul", "conin$", "conout$":
		return true
	}
	return len(base) == 4 && (base[:3] == "com" || base[:3] == "lpt") && base[3] >= '0' && base[3] <= '9'
}

// decode is the inverse of encode; ok is false for what encode never returns.
func (c codec) decode(name string) (segment string, ok bool) {
	if name == emptyName {
		return "", true
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] != '~' {
			b.WriteByte(name[i])
			continue
		}
		if i+2 >= len(name) {
			return "", false
		}
		hi, lo := strings.IndexByte(lowerHex, name[i+1]), strings.IndexByte(lowerHex, name[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	segment = b.String()
	return segment, segment != "" && c.encode(segment) == name
}
