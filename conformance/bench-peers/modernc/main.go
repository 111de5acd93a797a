package main

import (
	"database/sql"
	"log"

	_ "modernc.org/sqlite" // driver "sqlite"

	"github.com/boule-db/boule/conformance/bench-peers/workload"
)

func main() {
	err := workload.Main(func(a workload.Args) (*sql.DB, error) {
		return sql.Open("sqlite", "file:"+a.DB+"?_pragma=busy_timeout(10000)")
	})
	if err != nil {
		log.Fatal(err)
	}
}
