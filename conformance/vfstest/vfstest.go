package vfstest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/host"
)

// Open opens a connection to the database file at an absolute path, on the VFS
// under test. Params are further parameters of the URI, like "mode=ro"; they
// may be empty.
type Open func(path, params string) (*sqlite3.Conn, error)

// On returns an Open for the VFS registered under a name. It may be called
// before the VFS is registered.
func On(name string) Open {
	return func(path, params string) (*sqlite3.Conn, error) {
		if params != "" {
			params = "&" + params
		}
		uri := "file:" + filepath.ToSlash(path) + "?vfs=" + name + params
		conn, err := sqlite3.Open(uri)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", uri, err)
		}
		return conn, nil
	}
}

// Main runs the tests of a package that calls [Run], and exits: call it from
// TestMain, after registering the VFS. In a process that the suite has started
// as its helper it serves the suite instead. SQLite's machine code is shared by
// them all in a cache that is removed at the end. The tests are a *testing.M.
func Main(tests interface{ Run() int }, open Open) {
	os.Exit(run(tests, open))
}

const (
	envHelper = "BOULE_VFSTEST_HELPER"
	envCache  = "BOULE_VFSTEST_CACHE"
)

func run(tests interface{ Run() int }, open Open) int {
	cache := os.Getenv(envCache)
	if cache == "" {
		dir, err := os.MkdirTemp("", "boule-vfstest-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		cache = filepath.Join(dir, "cache")
		os.Setenv(envCache, cache)
	}
	if err := host.Init(&host.Options{CacheDir: cache}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if os.Getenv(envHelper) != "" {
		return serve(os.Stdin, os.Stdout, open)
	}
	return tests.Run()
}

// Run checks the VFS that open opens databases on. Each subtest is named by
// what it finds kept.
func Run(t *testing.T, open Open) {
	if !vfs.SupportsFileLocking {
		t.Fatal("go-sqlite3 can't lock files on this platform")
	}
	s := &suite{open}
	t.Run("File", func(t *testing.T) {
		t.Run("ReadsWhatWasWritten", s.readsWhatWasWritten)
		t.Run("ShortReadsEndTheFile", s.shortReads)
		t.Run("TruncateShrinksAndGrows", s.truncates)
		t.Run("CloseTwice", s.closesTwice)
		t.Run("IsNotAtomicInBatches", s.isNotAtomicInBatches)
	})
	t.Run("VFS", func(t *testing.T) {
		t.Run("DeleteAndAccess", s.deletesAndFinds)
		t.Run("FollowsSymbolicLinks", s.followsLinks)
		t.Run("CreatesOnlyWhenAsked", s.createsOnlyWhenAsked)
	})
	t.Run("Locks", func(t *testing.T) {
		t.Run("BetweenConnections", s.locksBetweenConnections)
		t.Run("BetweenProcesses", s.locksBetweenProcesses)
		t.Run("DieWithTheProcess", s.locksDieWithTheProcess)
	})
	sizes := []int{512, 1024, 2048, 4096, 8192, 16384, 32768, 65536}
	if testing.Short() {
		sizes = []int{512, 4096, 65536}
	}
	for _, mode := range journalModes() {
		t.Run("Journal/"+mode, func(t *testing.T) {
			for _, size := range sizes {
				t.Run(fmt.Sprintf("Page%d", size), func(t *testing.T) { s.works(t, mode, size) })
			}
			t.Run("TransactionsAreAtomic", func(t *testing.T) { s.isAtomic(t, mode) })
			t.Run("AttachedDatabases", func(t *testing.T) { s.attaches(t, mode) })
			t.Run("ExclusiveLockingMode", func(t *testing.T) { s.locksForLong(t, mode) })
			t.Run("OtherConnectionsSeeCommits", func(t *testing.T) { s.showsCommits(t, mode) })
			t.Run("CrashIsRolledBack", func(t *testing.T) { s.survivesCrash(t, mode) })
			t.Run("ConcurrentProcesses", func(t *testing.T) { s.shares(t, mode) })
			if stock, ok := stockShell(); ok {
				t.Run("StockSQLiteBesides", func(t *testing.T) { s.sharesWithStock(t, mode, stock) })
			}
		})
	}
}

func journalModes() []string {
	modes := []string{"DELETE", "TRUNCATE", "PERSIST", "MEMORY"}
	if vfs.SupportsSharedMemory {
		modes = append(modes, "WAL")
	}
	return modes
}

type suite struct{ open Open }
