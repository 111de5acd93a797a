package wasmvfs

import (
	"slices"
	"sync"

	"github.com/ncruces/go-sqlite3"
)

// A connection has one main database and those that are attached. SQLite tells
// the main one of pragmas that concern them all.
type connection struct {
	key       *sqlite3.Conn
	main      *dbFile
	files     []*dbFile // open ones
	exclusive bool      // the mode that newly attached databases get
}

// conns knows the files of each connection. A connection is used by one
// goroutine at a time, so only the map needs its lock.
type conns struct {
	mu sync.Mutex // guards the following
	m  map[*sqlite3.Conn]*connection
}

func (c *conns) join(key *sqlite3.Conn, f *dbFile) {
	if f.conn != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	conn := c.m[key]
	if conn == nil {
		conn = &connection{key: key, main: f}
		if c.m == nil {
			c.m = map[*sqlite3.Conn]*connection{}
		}
		c.m[key] = conn
	}
	conn.files = append(conn.files, f)
	f.conn = conn
	f.exclusive = f.exclusive || conn.exclusive
}

func (c *conns) leave(f *dbFile) {
	if f.conn == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	conn := f.conn
	f.conn = nil
	conn.files = slices.DeleteFunc(conn.files, func(other *dbFile) bool { return other == f })
	if len(conn.files) == 0 {
		delete(c.m, conn.key)
	}
}
