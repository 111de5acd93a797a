package manifest

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/zeebo/xxh3"
)

// chunkNameLen is the length of the name of every chunk.
const chunkNameLen = 16 + len(slash) + 16

// slash is part of the name, three characters of it: object stores that spread
// load by what stands before the last slash of a key find nothing to misread.
const slash = "%2F"

// ChunkName returns the name of a chunk in a spool and in a store: 35 characters.
func (f Fingerprint) ChunkName() string { return fmt.Sprintf("%016x"+"%%2F"+"%016x", f.Hi, f.Lo) }

// ParseChunkName is the inverse of [Fingerprint.ChunkName]; it fails with [ErrCorrupt].
func ParseChunkName(s string) (Fingerprint, error) {
	if len(s) == chunkNameLen && s[16:19] == slash {
		hi, ok1 := parseHex(s[:16])
		lo, ok2 := parseHex(s[19:])
		if ok1 && ok2 {
			return Fingerprint{Hi: hi, Lo: lo}, nil
		}
	}
	return Fingerprint{}, corrupt("%q is not the name of a chunk", s)
}

// parseHex parses lower-case hexadecimal digits, and only them.
func parseHex(s string) (uint64, bool) {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(s, 16, 64)
	return n, err == nil
}

// Lengths of names.
const (
	shortenFrom = 230 // bytes from which on a name is shortened
	shortened   = 240 // bytes that shortened names have
	shortenKeep = (shortened - 32) / 2
)

// Shorten returns s if it has fewer than 230 bytes. Otherwise it returns 240
// bytes: the first and the last 104 of s, with its fingerprint between them. A
// character of UTF-8 that was cut apart becomes underscores. So names that could be
// too long for a file are told from the others by their length, and remain distinct.
func Shorten(s string) string {
	if len(s) < shortenFrom {
		return s
	}
	var b strings.Builder
	b.Grow(shortened)
	writeRepaired(&b, s[:shortenKeep])
	b.WriteString(Sum([]byte(s)).String())
	writeRepaired(&b, s[len(s)-shortenKeep:])
	return b.String()
}

// writeRepaired writes s with every byte that is not UTF-8 replaced by one other.
func writeRepaired(b *strings.Builder, s string) {
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			b.WriteByte('_')
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
}

// Name returns the name in a store of the manifest of the database that hostname
// has at path. Equal arguments give equal names, on every machine.
func Name(hostname, path string) string {
	return Shorten(escape(fmt.Sprintf("%04x-boule:%s:%04x/%s", hash16(hostname), hostname, hash16(path), path)))
}

// ParseName is the inverse of [Name]. It fails for names that were shortened and
// for what is not such a name.
func ParseName(name string) (hostname, path string, ok bool) {
	if len(name) >= shortenFrom {
		return "", "", false
	}
	s, ok := unescape(name)
	if !ok || len(s) < len("0000-boule:") || s[4:11] != "-boule:" {
		return "", "", false
	}
	host, ok := parseHex(s[:4])
	if !ok {
		return "", "", false
	}
	// A host name may hold what looks like the separator. The hashes decide.
	found := 0
	for rest := s[11:]; ; {
		i := strings.IndexByte(rest, ':')
		if i < 0 {
			break
		}
		rest = rest[i+1:]
		if len(rest) < 5 || rest[4] != '/' {
			continue
		}
		h, p := s[11:len(s)-len(rest)-1], rest[5:]
		hash, isHex := parseHex(rest[:4])
		if isHex && hash == uint64(hash16(p)) && host == uint64(hash16(h)) {
			hostname, path = h, p
			found++
		}
	}
	if found != 1 || Name(hostname, path) != name {
		return "", "", false
	}
	return hostname, path, true
}

// hash16 spreads names over the partitions of a store.
func hash16(s string) uint16 { return uint16(xxh3.HashString(s)) }

const hexDigits = "0123456789ABCDEF"

// plain says whether a byte stands for itself in a name.
func plain(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.IndexByte("!-_.*'()", c) >= 0
}

// escape percent-encodes all but letters, digits and a few marks.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

func unescape(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) {
				return "", false
			}
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			c = byte(n)
			i += 2
		}
		b.WriteByte(c)
	}
	return b.String(), true
}
