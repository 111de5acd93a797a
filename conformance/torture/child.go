//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/internal/tuning"
	"github.com/boule-db/boule/store/target"
)

// envChild holds the spec of a child, which is this program again.
const envChild = "BOULE_TORTURE_CHILD"

// exitUnexplained is the status of a child that met an error which no fault explains.
const exitUnexplained = 3

// A spec says what a child is to do.
type spec struct {
	Kind             string // see children
	Name             string // of the process, for its record and log
	Seed             uint64
	Dir              string          // of the round
	Cache            string          // of compiled Wasm
	Targets          []target.Target // that its databases replicate to
	Slots            []slot
	Inline, PackSize int  // of logs; see tuning
	MayFence         bool // see plan.mayFence
	Writer           writerSpec
	Op               string // of a surgeon
	File             string // that a surgeon or a flush is about
}

// A slot is a database that may have several names, one at a time.
type slot struct {
	Names []string // of files, in the order in which they are tried; the first is made
	Link  string   // a symbolic link to the first
}

// path is where the database is now, sometimes by its symbolic link.
func (s slot) path(dir string, rng *rand.Rand) string {
	names := s.Names
	if s.Link != "" && rng.IntN(4) == 0 {
		if _, err := os.Stat(filepath.Join(dir, s.Link)); err == nil {
			return filepath.Join(dir, s.Link)
		}
	}
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return filepath.Join(dir, name)
		}
	}
	return filepath.Join(dir, names[0])
}

// children by kind. Their context ends when the runner closes their standard input, or dies.
var children = map[string]func(*child, context.Context) error{
	"writer":  (*child).write,
	"links":   (*child).links,
	"copier":  (*child).copyLoop,
	"reader":  (*child).sample,
	"surgeon": (*child).operate,
	"flush":   (*child).flush,
	"sync":    (*child).sync,
}

// A child is the process that a spec describes.
type child struct {
	spec
	rng    *rand.Rand
	record *record
	log    *slog.Logger
}

func (s spec) db() string { return filepath.Join(s.Dir, "db") }

func (s spec) config(log *slog.Logger) *boule.Config {
	return &boule.Config{
		Hostname: "torture.example.com",
		SpoolDir: filepath.Join(s.Dir, "spool"),
		Targets:  s.Targets,
		CacheDir: s.Cache,
		Logger:   log,
	}
}

// childMain is what a child does with its life, and returns its exit status.
func childMain(text string) int {
	var c child
	if err := json.Unmarshal([]byte(text), &c.spec); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	tuning.LogInline, tuning.LogPackSize = c.Inline, c.PackSize
	c.rng = rand.New(rand.NewPCG(c.Seed, 0))
	c.log = slog.New(slog.NewTextHandler(os.Stderr, nil)) // the runner has made that its log
	var err error
	if c.record, err = openRecord(filepath.Join(c.Dir, "records", c.Name)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if err := children[c.Kind](&c, ctx); err != nil {
		if err := c.record.failed(err); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		fmt.Fprintln(os.Stderr, err)
		return exitUnexplained
	}
	return 0
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// explained says by what name an error counts that SQLite has without Boule too: somebody else
// holds a lock for long, or the file was renamed or deleted under the connection.
func explained(err error) (string, bool) {
	switch {
	case errors.Is(err, sqlite3.BUSY):
		return "busy", true
	case errors.Is(err, sqlite3.LOCKED):
		return "locked", true
	case errors.Is(err, sqlite3.PROTOCOL): // of WAL: raced for too long
		return "protocol", true
	case errors.Is(err, sqlite3.READONLY_DBMOVED):
		return "moved", true
	case errors.Is(err, sqlite3.SCHEMA):
		return "schema", true
	}
	return "", false
}

// drop closes a connection as it is.
func drop(conn *sqlite3.Conn) {
	if conn != nil {
		_ = conn.Close() // what it was in the middle of is rolled back
	}
}
