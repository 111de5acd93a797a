package embed_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/tetratelabs/wazero"
)

// phases is what SQLite is made to do, in this order, on one connection to one file.
var phases = []struct{ name, sql string }{
	{"insert", `CREATE TABLE t (a INTEGER PRIMARY KEY, b, c);
		WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
		INSERT INTO t SELECT i, hex(randomblob(20)), i * 1.5 FROM n`},
	{"index", `CREATE INDEX i ON t (b)`},
	{"lookup", `SELECT sum(t.c) FROM t AS s JOIN t ON t.a = (s.a * 7919) % 100000 + 1`},
	{"update", `UPDATE t SET b = b || 'x' WHERE a % 3 = 0`},
	{"delete", `DELETE FROM t WHERE a % 5 = 0`},
	{"text", `SELECT sum(length(printf('%d %s %f', a, b, c))) FROM t WHERE b LIKE '%AB%'`},
	{"fts5", `CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f SELECT b || ' ' || a FROM t LIMIT 20000`},
	// Each page is read anew, into memory that ours makes zero.
	{"misses", `PRAGMA cache_size = 10; WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 20)
		SELECT sum(length(b)) FROM n CROSS JOIN t NOT INDEXED`},
	{"check", `PRAGMA integrity_check`},
}

// BenchmarkAgainstStock does the same with our binary and with the stock one, in turn, in one
// process for each. It reports the median of ours divided by the stock one's, for compiling the
// binary and for each phase, in processor time.
func BenchmarkAgainstStock(b *testing.B) {
	ours, err := filepath.Abs("sqlite3.wasm")
	if err != nil {
		b.Fatal(err)
	}
	binaries := []string{ours, stock(b)}
	times := []map[string][]time.Duration{{}, {}}
	for turn := 0; b.Loop(); turn++ {
		for i := range binaries {
			i = (i + turn) % len(binaries) // neither is always the first
			var got map[string]time.Duration
			if err := json.Unmarshal([]byte(run(b, "measure", binaries[i])), &got); err != nil {
				b.Fatal(err)
			}
			for name, d := range got {
				times[i][name] = append(times[i][name], d)
			}
		}
	}
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)/2])
	}
	for name := range times[0] {
		b.ReportMetric(median(times[0][name])/median(times[1][name]), name+"/stock")
	}
}

func measure() error {
	times := map[string]time.Duration{}
	binary, err := os.ReadFile(sqlite3.Path)
	if err != nil {
		return err
	}
	ctx, began := context.Background(), clock()
	runtime := wazero.NewRuntime(ctx)
	if _, err := runtime.CompileModule(ctx, binary); err != nil {
		return err
	}
	times["compile"] = clock() - began
	runtime.Close(ctx)

	dir, err := os.MkdirTemp("", "boule-embed-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	conn, err := sqlite3.Open(filepath.Join(dir, "test.db"))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Exec(`PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = OFF`); err != nil {
		return err
	}
	for _, phase := range phases {
		began := clock()
		if err := conn.Exec(phase.sql); err != nil {
			return fmt.Errorf("%s: %w", phase.name, err)
		}
		times[phase.name] = clock() - began
	}
	return json.NewEncoder(os.Stdout).Encode(times)
}
