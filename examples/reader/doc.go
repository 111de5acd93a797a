// Command reader follows a replica: it runs a query, moves to the newest
// snapshot, and runs it again.
//
//	go run ./examples/reader -store file:///tmp/backup -every 1s boule:///tmp/app.db 'SELECT count(*) FROM visit'
package main
