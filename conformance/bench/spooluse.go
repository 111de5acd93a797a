package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/conformance/bench/report"
	"github.com/boule-db/boule/conformance/storetest/fakes3"
	"github.com/boule-db/boule/store/target"
)

// A usage is how large a spool became while nobody took anything out of it.
type usage struct {
	smallest int64   // size of the database, bytes
	largest  int64   //
	spool    int64   // most that the spool took, bytes, links counted once, files in whole blocks
	times    float64 // most that it took, over the largest size that the database had had by then
}

// block is what file systems count in.
const block = 4096

// spool measures the size of a spool over many random transactions, while no copier uploads anything.
func (b *bench) spool(ctx context.Context, work string) error {
	for _, stopped := range stops {
		dir := filepath.Join(work, stopped.name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		u, err := measureSpool(ctx, dir, stopped, *uses, rand.New(rand.NewPCG(*seed, 0)))
		if err != nil {
			return err
		}
		b.Add(report.Row{
			Group: "spool", What: fmt.Sprintf("%d random commits, %s", *uses, stopped.name), Engine: replicated, PageSize: 4096,
			Journal: "DELETE", Sync: "OFF", Size: u.largest, Figure: report.Sample{float64(u.spool) / 1e6}, Unit: "MB",
			Ratio: report.Sample{u.times}, To: "database",
		})
	}
	return nil
}

// A stop is a moment at which the store answers no more: copiers then wait in an upload, and do nothing
// else.
type stop struct {
	name  string
	after float64 // of all transactions, as a fraction
}

var stops = []stop{
	{"copiers stopped in the first upload", 0},
	{"copiers stopped half-way", 0.5},
}

// measureSpool has n random transactions replicate to a service that stops to answer.
func measureSpool(ctx context.Context, dir string, when stop, n int, rng *rand.Rand) (u usage, err error) {
	if err := noCredentials(); err != nil {
		return u, err
	}
	server, stopServer := fakes3.Serve()
	defer stopServer()
	if err := server.MakeBucket("bench"); err != nil {
		return u, err
	}
	cfg := replicating(dir)
	cfg.Targets = []target.Target{{S3: &target.S3{Bucket: "bench", Region: fakes3.Region, Endpoint: server.Endpoint}}}
	r, err := boule.New(cfg)
	if err != nil {
		return u, err
	}
	defer func() {
		done, cancel := context.WithCancel(ctx)
		cancel()
		_ = r.Close(done) // nothing can be uploaded
	}()
	name := filepath.Join(dir, "t.db")
	conn, err := r.OpenConn(ctx, name, sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE)
	if err != nil {
		return u, err
	}
	defer conn.Close()
	w := &spoolWatch{conn: conn, db: name, spool: cfg.SpoolDir, rng: rng}
	err = w.run(n, func(i int) {
		if i == int(when.after*float64(n)) {
			server.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { fakes3.Hang(r) })
		}
	})
	return w.u, err
}

// A spoolWatch measures a spool after each transaction, and all the while in between.
type spoolWatch struct {
	conn      *sqlite3.Conn
	db, spool string
	rng       *rand.Rand

	mu sync.Mutex // guards u
	u  usage
}

func (w *spoolWatch) look() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	fi, err := os.Stat(w.db)
	if err != nil {
		return err
	}
	w.u.largest = max(w.u.largest, fi.Size())
	if w.u.smallest == 0 || fi.Size() < w.u.smallest {
		w.u.smallest = fi.Size()
	}
	took, err := spoolBytes(w.spool)
	w.u.spool = max(w.u.spool, took)
	w.u.times = max(w.u.times, float64(took)/float64(w.u.largest))
	return err
}

// run does n transactions; before is told of each.
func (w *spoolWatch) run(n int, before func(i int)) error {
	before(0)
	err := w.conn.Exec(`PRAGMA synchronous=OFF; PRAGMA auto_vacuum=INCREMENTAL;
		CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER, b BLOB); CREATE INDEX t_a ON t(a)`)
	if err != nil {
		return err
	}
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		var err error
		for err == nil {
			select {
			case <-stop:
				done <- nil
				return
			case <-tick.C:
				err = w.look()
			}
		}
		done <- err
	}()
	for i := 0; i < n && err == nil; i++ {
		before(i)
		if err = w.conn.Exec(anyTransaction(w.rng)); err == nil {
			err = w.look()
		}
	}
	close(stop)
	return errors.Join(err, <-done)
}

// anyTransaction grows, changes and shrinks a database, by a little or by much.
func anyTransaction(rng *rand.Rand) string {
	at := fmt.Sprintf(`(SELECT %d %% (1+ifnull(max(id),0)) FROM t)`, rng.Int64N(1<<40))
	rows, length := 1+rng.IntN(4), []int{20, 500, 5000, 50000}[rng.IntN(4)]
	if rng.IntN(20) == 0 {
		rows *= 1 + 100_000/length
	}
	if rng.IntN(100) == 0 {
		rows *= 10
	}
	switch n := rng.IntN(100); {
	case n < 40:
		return fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d)
			INSERT INTO t(a, b) SELECT %d+i, randomblob(%d) FROM n`, rows, rng.IntN(1000), length)
	case n < 70:
		return fmt.Sprintf(`UPDATE t SET a=a+1, b=randomblob(%d) WHERE id IN (SELECT id FROM t WHERE id >= %s LIMIT %d)`, length, at, rows)
	case n < 97:
		return fmt.Sprintf(`DELETE FROM t WHERE id IN (SELECT id FROM t WHERE id >= %s LIMIT %d)`, at, rows*3/2)
	case n < 99:
		return fmt.Sprintf(`PRAGMA incremental_vacuum(%d)`, rng.IntN(500))
	}
	return fmt.Sprintf(`DELETE FROM t WHERE id %% 10 < %d; VACUUM`, rng.IntN(10))
}

// gone passes over what was there no more.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// spoolBytes is what the files below a directory take on a disk, each counted once whatever its
// links. What vanishes meanwhile does not count.
func spoolBytes(dir string) (n int64, err error) {
	seen := map[fileID]bool{}
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return gone(err)
		}
		fi, err := e.Info()
		if err != nil {
			return gone(err)
		}
		if id := idOf(fi); !seen[id] {
			seen[id] = true
			n += (fi.Size() + block - 1) / block * block
		}
		return nil
	})
	return n, err
}

// noCredentials keeps those of the machine out of the measurements, and the services that give them.
func noCredentials() error {
	for k, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": fakes3.AccessKey, "AWS_SECRET_ACCESS_KEY": fakes3.SecretKey, "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE": "", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_EC2_METADATA_DISABLED": "true",
	} {
		if err := os.Setenv(k, v); err != nil {
			return err
		}
	}
	return nil
}
