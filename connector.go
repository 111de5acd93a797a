package boule

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"

	sqlitedriver "github.com/ncruces/go-sqlite3/driver"
)

// A connector adds to go-sqlite3's what happens when the *sql.DB is closed:
// database/sql closes a connector that is an io.Closer, once.
type connector struct {
	driver.Connector
	name    string // for messages
	file    string // absolute; empty for a database without file
	visit   func() // once, after the first connection; may be nil
	visited sync.Once
	onClose func() error  // may be nil
	driver  driver.Driver // nil: go-sqlite3's
}

// newConnector returns a connector for a data source name of go-sqlite3.
func newConnector(dsn, name string) (*connector, error) {
	inner, err := (&sqlitedriver.SQLite{}).OpenConnector(dsn)
	if err != nil {
		return nil, fmt.Errorf("boule: open %s: %w", name, err)
	}
	return &connector{Connector: inner, name: name}, nil
}

// Driver implements [driver.Connector].
func (c *connector) Driver() driver.Driver {
	if c.driver != nil {
		return c.driver
	}
	return c.Connector.Driver()
}

// Connect implements [driver.Connector].
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err == nil && c.visit != nil {
		c.visited.Do(c.visit)
	}
	return conn, err
}

// Close implements io.Closer.
func (c *connector) Close() error {
	if c.onClose == nil {
		return nil
	}
	return c.onClose()
}

// openDB opens the database, and makes one connection to see that it works. After
// an error onClose is not called.
func (c *connector) openDB(ctx context.Context) (*sql.DB, error) {
	onClose := c.onClose
	c.onClose = nil
	db := sql.OpenDB(c)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("boule: open %s: %w", c.name, err), db.Close())
	}
	c.onClose = onClose
	return db, nil
}
