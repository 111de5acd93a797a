// Command mattn runs a workload with github.com/mattn/go-sqlite3: C SQLite by cgo.
package main
