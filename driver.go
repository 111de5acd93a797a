package boule

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	sqlitedriver "github.com/ncruces/go-sqlite3/driver"
)

// DriverName is the name under which [Driver] is registered with database/sql.
const DriverName = "boule"

func init() { sql.Register(DriverName, Driver{}) }

// Driver is the database/sql driver "boule". sql.Open("boule", "app.db") is
// [Open] with the configuration of the environment ([ConfigFromEnv]), which is
// read at sql.Open; closing the *sql.DB waits for its upload likewise. The data
// source name is a path or a SQLite URI.
type Driver struct{}

var _ driver.DriverContext = Driver{}

// OpenConnector implements [driver.DriverContext]. A wrong configuration or data
// source name is an error here, and so of sql.Open.
func (Driver) OpenConnector(name string) (driver.Connector, error) {
	r, err := New(nil)
	if err != nil {
		return nil, err
	}
	c, err := r.connector(name)
	if err != nil {
		return nil, errors.Join(err, r.abandon())
	}
	c.driver = Driver{}
	c.onClose = func() error { return r.drain(c.file) }
	return c, nil
}

// Open implements [driver.Driver]: one connection, whose Close waits for the
// upload. database/sql does not call it.
func (d Driver) Open(name string) (driver.Conn, error) {
	opened, err := d.OpenConnector(name)
	if err != nil {
		return nil, err
	}
	c := opened.(*connector)
	conn, err := c.Connect(context.Background())
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &drainingConn{conn.(sqlitedriver.Conn), c}, nil
}

// A drainingConn is a connection that owns its connector.
type drainingConn struct {
	sqlitedriver.Conn
	connector *connector
}

// Close implements [driver.Conn].
func (c *drainingConn) Close() error {
	return errors.Join(c.Conn.Close(), c.connector.Close())
}
