package boule_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

// example makes a directory, and a configuration that replicates to a directory in
// it. Programs have a bucket instead: target.FromURL("s3://backup?region=eu-west-1").
func example() (dir string, cfg *boule.Config) {
	dir, err := os.MkdirTemp("", "boule-example-")
	if err != nil {
		log.Fatal(err)
	}
	store, err := target.FromURL("file://" + filepath.ToSlash(filepath.Join(dir, "store")))
	if err != nil {
		log.Fatal(err)
	}
	return dir, &boule.Config{
		Targets:  []target.Target{store},
		SpoolDir: filepath.Join(dir, "spool"),
		Hostname: "app-1",
		CacheDir: cacheDir,
	}
}

// visits makes a database with one visit, and closes it.
func visits(path string, cfg *boule.Config) {
	db, err := boule.Open(context.Background(), path, cfg)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := db.Exec(`CREATE TABLE visit(page); INSERT INTO visit VALUES ('/start')`); err != nil {
		log.Fatal(err)
	}
	if err := db.Close(); err != nil {
		log.Fatal(err)
	}
}

func ExampleOpen() {
	dir, cfg := example()
	defer os.RemoveAll(dir)

	db, err := boule.Open(context.Background(), filepath.Join(dir, "app.db"), cfg)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := db.Exec(`CREATE TABLE visit(page); INSERT INTO visit VALUES ('/start')`); err != nil {
		log.Fatal(err)
	}
	fmt.Println("closed:", db.Close()) // waits until the store has it

	all, err := boule.Status(context.Background(), cfg)
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range all {
		fmt.Println(filepath.Base(s.Path), "in sync:", s.Targets[0].InSync)
	}
	// Output:
	// closed: <nil>
	// app.db in sync: true
}

func ExampleOpenReplica() {
	dir, cfg := example()
	defer os.RemoveAll(dir)
	path := boule.CanonicalPath(filepath.Join(dir, "app.db"))
	visits(path, cfg)

	db, err := boule.OpenReplica(context.Background(), boule.SourceRef("app-1", path), cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	var page string
	if err := db.QueryRow(`SELECT page FROM visit`).Scan(&page); err != nil {
		log.Fatal(err)
	}
	fmt.Println(page)
	// Output: /start
}

func ExampleRestore() {
	dir, cfg := example()
	defer os.RemoveAll(dir)
	path := boule.CanonicalPath(filepath.Join(dir, "app.db"))
	visits(path, cfg)

	out := filepath.Join(dir, "restored.db")
	remote, err := boule.Restore(context.Background(), boule.SourceRef("app-1", path), out, cfg, nil)
	if err != nil {
		log.Fatal(err)
	}
	fi, err := os.Stat(out)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(fi.Size() == remote.Manifest.Size)
	// Output: true
}

func ExampleReplicator_Flush() {
	ctx := context.Background()
	dir, cfg := example()
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "app.db")

	r, err := boule.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	db, err := r.OpenDB(ctx, path)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := db.Exec(`CREATE TABLE visit(page); INSERT INTO visit VALUES ('/start')`); err != nil {
		log.Fatal(err)
	}
	fmt.Println("flushed:", r.Flush(ctx, path)) // every store has acknowledged it
	if err := db.Close(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("closed:", r.Close(ctx))
	// Output:
	// flushed: <nil>
	// closed: <nil>
}
