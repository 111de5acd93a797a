//go:build linux || darwin || freebsd

package wasmvfs_test

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/wasmvfs"
)

// A verifier looks at images, through the VFS under test.
type verifier struct {
	disk *powerDisk
	name string
	c    *sqlite3.Conn
}

func newVerifier(t *testing.T) *verifier {
	v := &verifier{disk: &powerDisk{}}
	v.name = register(t, wasmvfs.NewWith(nil, nil, wasmvfs.Seams{Inner: v.disk, System: v.disk}))
	var err error
	if v.c, err = sqlite3.Open(":memory:"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.c.Close() })
	return v
}

var errIntegrity = errors.New("integrity_check")

// state recovers the databases of an image and describes them.
func (v *verifier) state(img *fsx.Mem, during func(string), wal, attached bool) (state string, err error) {
	v.disk.put(img)
	v.disk.changing = during
	defer func() { v.disk.changing = nil }()
	if wal { // what is attached inherits it
		if err := v.c.Exec("PRAGMA locking_mode=EXCLUSIVE"); err != nil {
			return "", err
		}
	}
	dbs := map[string]string{"m": "/main.db"}
	if attached {
		dbs["a"] = "/aux.db"
	}
	for _, db := range []string{"m", "a"} {
		if dbs[db] == "" {
			continue
		}
		if err := v.c.Exec("ATTACH 'file:" + dbs[db] + "?vfs=" + v.name + "' AS " + db); err != nil {
			return "", fmt.Errorf("open: %w", err)
		}
		defer func() {
			if derr := v.c.Exec("DETACH " + db); derr != nil && err == nil {
				err = fmt.Errorf("close: %w", derr)
			}
		}()
	}
	state, err = stateOf(v.c, "m", "a", attached)
	if err != nil {
		return "", err
	}
	for db := range dbs {
		ok, err := rows(v.c, "PRAGMA "+db+".integrity_check")
		if err == nil && ok != "ok" {
			err = fmt.Errorf("%w: %.200s", errIntegrity, ok)
		}
		if err != nil {
			return "", err
		}
	}
	return state, nil
}

// stateOf describes the content of the databases.
func stateOf(c *sqlite3.Conn, main, aux string, attached bool) (string, error) {
	var all []string
	for _, db := range []string{main, aux} {
		if db == aux && !attached {
			break
		}
		tables, err := rows(c, "SELECT count(*) FROM "+db+".sqlite_schema WHERE type = 'table'")
		if err != nil {
			return "", err
		}
		if tables == "0" {
			all = append(all, "no table")
			continue
		}
		found, err := rows(c, "SELECT id || '=' || v FROM "+db+".t ORDER BY id")
		if err != nil {
			return "", err
		}
		h := fnv.New64a()
		h.Write([]byte(found))
		all = append(all, fmt.Sprintf("%d bytes %x", len(found), h.Sum64()))
	}
	return strings.Join(all, ", "), nil
}
