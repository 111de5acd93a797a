package spool

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/boule-db/boule/internal/instance"
	"github.com/boule-db/boule/manifest"
)

// Names in the tree; SPOOL.md draws it.
const (
	bootPrefix = "boule-"
	bootSuffix = "-v2"
	bootDrift  = 2 // seconds by which the boot time may be told differently

	tapDir       = ".tap"
	goneDir      = ".gone." // and a unique name: on its way out
	newDir       = ".new."  // and a unique name: on its way in
	unflushedDir = ".unflushed"
	metadataFile = ".metadata"
	lockFile     = ".meta_copy_lock"
	tapLockFile  = ".tap_lock"
	chunksDir    = "chunks"
	metaDir      = "meta"
	readyDir     = "ready"
	consumingDir = "consuming"

	stagedChunks  = "staging/" + chunksDir
	stagedMeta    = "staging/" + metaDir
	stagedIndex   = "staging/index"
	stagedScratch = "staging/scratch"

	metadataVersion = 1
	maxMangled      = 230 // shorter names can be undone
)

// A DB identifies a database file.
type DB struct {
	Path     string // absolute and canonical
	Dev, Ino uint64
}

// ValidPath fails with [ErrBadPath] for what can't be the path of a database with a spool.
func ValidPath(path string) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || !utf8.ValidString(path) || strings.ContainsRune(path, 0) {
		return fmt.Errorf("%w: %q", ErrBadPath, path)
	}
	return nil
}

// A Key names one spool of a boot. It is comparable.
type Key struct {
	Mangled  string // mangled path of the database
	Dev, Ino uint64
	Target   string // id of the target
}

// KeyOf returns the key of the spool of db for the target.
func KeyOf(db DB, target string) Key {
	return Key{Mangled: Mangle(db.Path), Dev: db.Dev, Ino: db.Ino, Target: target}
}

// String returns the path of the spool below the directory of the boot.
func (k Key) String() string { return k.Mangled + "/" + k.dir() }

func (k Key) dir() string { return fmt.Sprintf("%d.%d.%s", k.Dev, k.Ino, k.Target) }

// parseKey undoes Key.String, given its two elements.
func parseKey(mangled, dir string) (Key, bool) {
	dev, rest, _ := strings.Cut(dir, ".")
	ino, target, _ := strings.Cut(rest, ".")
	k := Key{Mangled: mangled, Target: target}
	var err1, err2 error
	k.Dev, err1 = strconv.ParseUint(dev, 10, 64)
	k.Ino, err2 = strconv.ParseUint(ino, 10, 64)
	return k, err1 == nil && err2 == nil && validTarget(target) && k.dir() == dir
}

// validTarget accepts ids that can be elements of a path.
func validTarget(id string) bool {
	return id != "" && len(id) <= 64 && strings.Trim(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-") == ""
}

// validName accepts names of manifests: one element of a path, and not hidden.
func validName(name string) error {
	if name == "" || name[0] == '.' || len(name) > 255 || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%w: manifest name %q", ErrCorrupt, name)
	}
	return nil
}

// Mangle makes the name of a directory from a path: control characters, '%' and '#' are
// percent-encoded, '/' becomes '#'. Long names are shortened and cannot be undone.
func Mangle(path string) string {
	var b strings.Builder
	for i := range len(path) {
		switch c := path[i]; {
		case c == '/':
			b.WriteByte('#')
		case c < ' ', c == 0x7f, c == '%', c == '#':
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	return manifest.Shorten(b.String())
}

// Unmangle undoes Mangle. It fails for names that were shortened or are none of ours.
func Unmangle(s string) (string, bool) {
	if len(s) >= maxMangled || !strings.HasPrefix(s, "#") {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '#':
			b.WriteByte('/')
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			b.WriteByte(byte(c))
			i += 2
		default:
			b.WriteByte(s[i])
		}
	}
	path := b.String()
	return path, Mangle(path) == s
}

func bootName(id instance.ID) string { return bootPrefix + id.String() + bootSuffix }

// parseBootName accepts the directories of boots of any layout version.
func parseBootName(name string) (instance.ID, bool) {
	s, ok := strings.CutPrefix(name, bootPrefix)
	if !ok {
		return instance.ID{}, false
	}
	i := strings.LastIndex(s, "-v")
	if i < 0 {
		return instance.ID{}, false
	}
	if _, err := strconv.ParseUint(s[i+2:], 10, 32); err != nil {
		return instance.ID{}, false
	}
	id, err := instance.Parse(s[:i])
	return id, err == nil
}

func (r *Root) random() string { return fmt.Sprintf("%016x%016x", r.opts.Rand(), r.opts.Rand()) }

// unique returns a name that no other call, in any process, ever returns.
func (r *Root) unique() string {
	return fmt.Sprintf("%s.%d.%d.%s", r.opts.Process, r.opts.Now().UnixMicro(), r.counter.Add(1), r.random())
}

func (r *Root) scratchName() string { return r.opts.Process + "." + r.random() + ".tmp" }
