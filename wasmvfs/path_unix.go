//go:build unix

package wasmvfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// okSymlink is SQLITE_OK_SYMLINK, which says that there were links, and is no error.
const okSymlink = sqlite3.ExtendedErrorCode(2 << 8)

// maxSymlinks is how many symbolic links SQLite's own VFS follows in one path.
const maxSymlinks = 200

// resolve makes an absolute path without symbolic links, of which anything may be
// missing, as SQLite's own VFS does: a link to nothing is a database that will be
// made where the link points to. The error is okSymlink if there were links.
func resolve(name string) (string, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	rest := strings.Split(abs, "/")
	path, links := "/", 0
	for len(rest) > 0 {
		next := filepath.Join(path, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(next)
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return "", vfs.SystemError(err, sqlite3.CANTOPEN)
		case err != nil || info.Mode()&fs.ModeSymlink == 0:
			path = next
			continue
		}
		if links++; links > maxSymlinks {
			return "", sqlite3.CANTOPEN
		}
		to, err := os.Readlink(next)
		if err != nil {
			return "", vfs.SystemError(err, sqlite3.CANTOPEN)
		}
		if filepath.IsAbs(to) {
			path = "/"
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	if links > 0 {
		return path, okSymlink
	}
	return path, nil
}
