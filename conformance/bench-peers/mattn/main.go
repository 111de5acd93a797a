package main

import (
	"database/sql"
	"log"

	_ "github.com/mattn/go-sqlite3" // driver "sqlite3"

	"github.com/boule-db/boule/conformance/bench-peers/workload"
)

func main() {
	err := workload.Main(func(a workload.Args) (*sql.DB, error) {
		return sql.Open("sqlite3", "file:"+a.DB+"?_busy_timeout=10000")
	})
	if err != nil {
		log.Fatal(err)
	}
}
