package workload

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"
)

// text is a row of u, in SQL.
const text = `printf('{"token":"%s","kind":"page view","path":"/articles/comments","status":200,"agent":"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0","accept":"text/html,application/xhtml+xml","language":"en-US,en;q=0.5","encoding":"gzip, deflate, br, zstd","cached":false}', hex(randomblob(100)))`

// The statements of each mode. Rows take about 500 bytes: those of t can't be compressed, and its index is on random
// numbers; those of u are text, which a compressor makes a third of, and have no index.
const (
	Schema = `CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, k INTEGER, b BLOB);
		CREATE INDEX IF NOT EXISTS t_k ON t(k);
		CREATE TABLE IF NOT EXISTS u(id INTEGER PRIMARY KEY, b BLOB)`
	Fill = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d)
		INSERT INTO t(k, b) SELECT abs(random()) %% 1000000, randomblob(480) FROM n`
	// FillText is Append for every thirtieth row of t.
	FillText = `INSERT INTO u(b) SELECT ` + text + ` FROM t WHERE id % 30 = 0`
	Insert   = `INSERT INTO t(k, b) VALUES (abs(random()) % 1000000, randomblob(480))`
	Append   = `INSERT INTO u(b) VALUES (` + text + `)`
	Edit     = `UPDATE u SET b = replace(b, substr(b, 11, 200), hex(randomblob(100))) WHERE id = 1 + abs(random()) % (SELECT max(id) FROM u)`
	Update   = `UPDATE t SET b = randomblob(480) WHERE id = 1 + abs(random()) % (SELECT max(id) FROM t)`
	Reindex  = `UPDATE t SET k = abs(random()) % 1000000, b = randomblob(480) WHERE id = 1 + abs(random()) % (SELECT max(id) FROM t)`
	Point    = `SELECT b FROM t WHERE id = 1 + abs(random()) % (SELECT max(id) FROM t)`
	Scan     = `SELECT count(*) FROM t WHERE length(b) = 480 AND k >= 0`
)

// batchRows is the size of the transactions of the mode batch.
const batchRows = 1000

// Args describe one run of a workload.
type Args struct {
	DB      string
	Journal string
	Sync    string
	Page    int
	Mode    string  // fill, insert, append, edit, update, reindex, batch, point, scan, or idle
	N       int     // transactions; rows for fill; seconds for idle
	Rate    float64 // transactions a second; zero means as many as there can be
}

// Parse reads DB JOURNAL SYNC PAGE MODE N RATE.
func Parse(args []string) (a Args, err error) {
	if len(args) != 7 {
		return a, errors.New("usage: DB JOURNAL SYNC PAGE MODE N RATE")
	}
	a = Args{DB: args[0], Journal: args[1], Sync: args[2], Mode: args[4]}
	var errs [3]error
	a.Page, errs[0] = strconv.Atoi(args[3])
	a.N, errs[1] = strconv.Atoi(args[5])
	a.Rate, errs[2] = strconv.ParseFloat(args[6], 64)
	return a, errors.Join(errs[:]...)
}

// List is what Parse reads.
func (a Args) List() []string {
	return []string{a.DB, a.Journal, a.Sync, strconv.Itoa(a.Page), a.Mode, strconv.Itoa(a.N), strconv.FormatFloat(a.Rate, 'f', -1, 64)}
}

// A Result is how long the transactions of a run took, in microseconds.
type Result struct {
	N       int     `json:"n"`
	Seconds float64 `json:"seconds"`
	Mean    float64 `json:"mean"`
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	Max     float64 `json:"max"`
	SQLite  string  `json:"sqlite"`
}

// Summarize makes a result of some times. It sorts ds.
func Summarize(ds []time.Duration, all time.Duration, version string) Result {
	r := Result{N: len(ds), Seconds: all.Seconds(), SQLite: version}
	if len(ds) == 0 {
		return r
	}
	slices.SortFunc(ds, cmp.Compare[time.Duration])
	sum := time.Duration(0)
	for _, d := range ds {
		sum += d
	}
	micro := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	r.Mean = micro(sum) / float64(len(ds))
	r.P50, r.P99, r.Max = micro(ds[len(ds)/2]), micro(ds[min(len(ds)*99/100, len(ds)-1)]), micro(ds[len(ds)-1])
	return r
}

// Main runs the workload of the command line in a database that open opens, and prints the result.
func Main(open func(a Args) (*sql.DB, error)) error {
	a, err := Parse(os.Args[1:])
	if err != nil {
		return err
	}
	db, err := open(a)
	if err != nil {
		return err
	}
	r, err := Run(context.Background(), db, a)
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// Run runs a workload on one connection.
func Run(ctx context.Context, db *sql.DB, a Args) (r Result, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return r, err
	}
	defer conn.Close()
	exec := func(text string) error {
		_, err := conn.ExecContext(ctx, text)
		return err
	}
	var version string
	if err := conn.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&version); err != nil {
		return r, err
	}
	for _, p := range []string{fmt.Sprintf(`PRAGMA page_size=%d`, a.Page), `PRAGMA journal_mode=` + a.Journal, `PRAGMA synchronous=` + a.Sync} {
		if err := exec(p); err != nil {
			return r, err
		}
	}
	if a.Mode == "fill" {
		began := time.Now()
		if err := exec(Schema); err != nil {
			return r, err
		}
		err := errors.Join(exec(fmt.Sprintf(Fill, a.N)), exec(FillText))
		return Summarize([]time.Duration{time.Since(began)}, time.Since(began), version), err
	}
	if a.Mode == "idle" {
		<-time.After(time.Duration(a.N) * time.Second)
		return Summarize(nil, time.Duration(a.N)*time.Second, version), nil
	}
	f, end, err := transaction(ctx, conn, a.Mode)
	if err != nil {
		return r, err
	}
	defer end()
	began := time.Now()
	ds := make([]time.Duration, a.N)
	for i := range ds {
		if a.Rate > 0 {
			<-time.After(time.Until(began.Add(time.Duration(float64(i) / a.Rate * float64(time.Second)))))
		}
		t := time.Now()
		if err := f(); err != nil {
			return r, err
		}
		ds[i] = time.Since(t)
	}
	return Summarize(ds, time.Since(began), version), nil
}

// transaction is what one transaction of a mode does.
func transaction(ctx context.Context, conn *sql.Conn, mode string) (f func() error, end func() error, err error) {
	text, ok := map[string]string{"insert": Insert, "append": Append, "edit": Edit, "update": Update, "reindex": Reindex, "batch": Insert, "point": Point, "scan": Scan}[mode]
	if !ok {
		return nil, nil, fmt.Errorf("no mode %q", mode)
	}
	stmt, err := conn.PrepareContext(ctx, text)
	if err != nil {
		return nil, nil, err
	}
	write := func() error {
		_, err := stmt.ExecContext(ctx)
		return err
	}
	switch mode {
	case "point":
		f = func() error {
			var b []byte
			return stmt.QueryRowContext(ctx).Scan(&b)
		}
	case "scan":
		f = func() error {
			var n int
			return stmt.QueryRowContext(ctx).Scan(&n)
		}
	case "batch":
		f = func() error {
			if _, err := conn.ExecContext(ctx, `BEGIN`); err != nil {
				return err
			}
			for range batchRows {
				if err := write(); err != nil {
					return err
				}
			}
			_, err := conn.ExecContext(ctx, `COMMIT`)
			return err
		}
	default:
		f = write
	}
	return f, stmt.Close, nil
}
