package vfstest

import (
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// Open opens a connection to the database file at an absolute path, on the VFS
// under test. Params are further parameters of the URI, like "mode=ro"; they
// may be empty.
type Open func(path, params string) (*sqlite3.Conn, error)

// Main runs the tests of a package that uses [Run]; call it from TestMain. In a
// process that the suite has started as its helper it serves the suite instead.
func Main(m *testing.M, open Open) { panic("todo") }

// Run checks the VFS that open opens databases on.
func Run(t *testing.T, open Open) { panic("todo") }
