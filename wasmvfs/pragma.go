package wasmvfs

import (
	"strings"

	"github.com/ncruces/go-sqlite3/util/vfsutil"
)

// Pragmas of a replicated database.
const (
	// PragmaFlush, without argument or with "now", "force" or 2, uploads the
	// present state of the database and says 1 when every target has it, else
	// 0. Any other argument is a boolean: whether to do so when the connection
	// is closed; then it says what that was before.
	PragmaFlush = "boule_flush_replication_data"

	// PragmaStatus describes the replication of the database in one line of
	// JSON.
	PragmaStatus = "boule_replication_status"
)

// Pragma answers our own pragmas, and watches one of SQLite's.
func (f *dbFile) Pragma(name, value string) (string, error) {
	switch name {
	case PragmaFlush:
		return f.flushPragma(value), nil
	case PragmaStatus:
		if f.vfs.opts.Status == nil {
			return `{"state":"untracked"}`, nil
		}
		return f.vfs.opts.Status(f.path), nil
	case "locking_mode":
		f.lockingMode(value)
	}
	return vfsutil.WrapPragma(f.File, name, value)
}

func (f *dbFile) flushPragma(value string) string {
	switch strings.ToLower(value) {
	case "", "now", "force", "2":
		if err := f.flush(); err != nil {
			f.vfs.opts.Logger.Warn("flush failed", "db", f.path, "error", err)
			return "0"
		}
		return "1"
	}
	old := f.flushOnClose
	f.flushOnClose = pragmaBool(value)
	return boolText(old)
}

// lockingMode notes the mode for this database. When it is the main one, SQLite
// may mean all of the connection's: "PRAGMA locking_mode" and "PRAGMA
// main.locking_mode" look the same from here. To take a database that is not in
// this mode for one that is does no harm: its snapshot is taken a moment too
// early, under the EXCLUSIVE lock, and the unlocking puts it right.
func (f *dbFile) lockingMode(value string) {
	var exclusive bool
	switch strings.ToLower(value) {
	case "exclusive":
		exclusive = true
	case "normal":
	default:
		return // a question
	}
	f.setExclusive(exclusive)
	if f.conn == nil || f.conn.main != f {
		return
	}
	f.conn.exclusive = exclusive
	for _, other := range f.conn.files {
		other.setExclusive(exclusive)
	}
}

func (f *dbFile) setExclusive(on bool) {
	f.exclusive = on
	if !on {
		f.committed = false // the lock is released by the next transaction only
	}
}

// pragmaBool is more generous than SQLite: everything is true that does not say
// no.
func pragmaBool(s string) bool {
	if s == "" || strings.EqualFold(s, "off") {
		return false
	}
	switch s[0] {
	case '0', 'f', 'F', 'n', 'N':
		return false
	}
	return true
}

// uriBool reads a boolean parameter as sqlite3_uri_boolean does.
func uriBool(s string) bool {
	switch strings.ToLower(s) {
	case "yes", "true", "on":
		return true
	}
	n := 0
	for n < len(s) && s[n] == '0' {
		n++
	}
	return n < len(s) && '1' <= s[n] && s[n] <= '9'
}

func boolText(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
