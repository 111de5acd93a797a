// Command bench-peers makes other ways to run and replicate SQLite do what Boule does, on one machine in one run: stock
// C SQLite, github.com/mattn/go-sqlite3, modernc.org/sqlite and plain go-sqlite3 as engines, and Litestream, where a
// program of that name is on PATH, as replicator. All replicate to one real S3 server, versitygw, through a proxy that
// counts requests and bytes and can delay them.
//
//	cd conformance/bench-peers && go run .            # or: make bench-peers
//	go run . -quick                                   # whether it works, within a few minutes
//	go run . -only writes,restore -json
//
// It is a module of its own, so that nobody who uses Boule downloads what Boule is compared with. It needs gcc, and the
// first time some minutes to build versitygw.
package main
