// Command child starts SQLite in one of the ways that the tests of package host
// are about, asks it something, and prints what it found.
//
//	child WAY CACHEDIR
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/ncruces/go-sqlite3"
	"github.com/tetratelabs/wazero"

	"github.com/boule-db/boule/embed"
	"github.com/boule-db/boule/host"
)

type report struct {
	Before, After   host.Details
	Version, Source string
	Err             string
}

func main() {
	way, dir := os.Args[1], os.Args[2]
	if way == "nothing" {
		return
	}
	r := report{Before: host.Info()}
	opts := &host.Options{CacheDir: dir}
	switch way {
	case "start":
	case "warm":
		host.Warm(opts)
	case "own binary":
		sqlite3.Binary = bytes.Clone(embed.Wasm())
	case "other binary":
		sqlite3.Binary = append(bytes.Clone(embed.Wasm()), 0, 3, 1, 'x', 'y') // a custom section
	case "other configuration":
		sqlite3.RuntimeConfig = wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(2048)
	case "started":
		sqlite3.Binary = embed.Wasm()
		if err := sqlite3.Initialize(); err != nil {
			panic(err)
		}
	default:
		panic(way)
	}
	err := host.Init(opts)
	if err == nil {
		err = query(&r)
	}
	if err != nil {
		r.Err = err.Error()
	}
	r.After = host.Info()
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		panic(err)
	}
}

func query(r *report) error {
	conn, err := host.Open(context.Background(), ":memory:", 0)
	if err != nil {
		return err
	}
	defer conn.Close()
	stmt, _, err := conn.Prepare(`SELECT sqlite_version(), sqlite_source_id()`)
	if err != nil {
		return err
	}
	defer stmt.Close()
	if !stmt.Step() {
		return fmt.Errorf("no row: %w", stmt.Err())
	}
	r.Version, r.Source = stmt.ColumnText(0), stmt.ColumnText(1)
	return nil
}
