package vfstest_test

import (
	"testing"

	"github.com/boule-db/boule/conformance/vfstest"
)

func TestMain(m *testing.M) { vfstest.Main(m, vfstest.On("os")) }

// TestStock runs the suite on go-sqlite3's own VFS: what it asks for is what
// SQLite asks for.
func TestStock(t *testing.T) { vfstest.Run(t, vfstest.On("os")) }
