// Command webservice counts visits in a replicated database and shows how to
// shut down: stop taking requests, then close the database, which drains.
//
//	go run ./examples/webservice -db /tmp/visits.db -store file:///tmp/backup -listen 127.0.0.1:8080
package main
