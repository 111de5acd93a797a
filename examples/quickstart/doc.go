// Command quickstart is the shortest program that writes to a SQLite database
// which replicates itself.
//
//	go run ./examples/quickstart /tmp/app.db file:///tmp/backup
package main
