//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/ncruces/go-sqlite3"
)

// A state is what table stamp says: which of the database's commits this is, and
// what it amounts to. Two commits never have the same, whoever made them.
type state struct {
	Gen, N, ID      int64 // of the file's creation, of the commit, of the commit
	Cnt, Sum, Bytes int64 // of table t: rows, sum of tags, length of the texts
}

func (s state) String() string {
	return fmt.Sprintf("%d/%d/%d (%d rows, sum %d, %d bytes)", s.Gen, s.N, s.ID, s.Cnt, s.Sum, s.Bytes)
}

const stampColumns = `gen, n, id, cnt, sum, bytes`

// schema makes the tables in one transaction that the caller has begun.
func schema(gen, id int64) string {
	return fmt.Sprintf(`
CREATE TABLE IF NOT EXISTS stamp(k INTEGER PRIMARY KEY, gen INTEGER, n INTEGER, id INTEGER, cnt INTEGER, sum INTEGER, bytes INTEGER, pair INTEGER);
INSERT OR IGNORE INTO stamp VALUES (1, %d, 0, %d, 0, 0, 0, 0);
CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, tag INTEGER, body TEXT);
CREATE INDEX IF NOT EXISTS t_tag ON t(tag);
CREATE TRIGGER IF NOT EXISTS t_ai AFTER INSERT ON t BEGIN UPDATE stamp SET cnt=cnt+1, sum=sum+new.tag, bytes=bytes+length(new.body); END;
CREATE TRIGGER IF NOT EXISTS t_ad AFTER DELETE ON t BEGIN UPDATE stamp SET cnt=cnt-1, sum=sum-old.tag, bytes=bytes-length(old.body); END;
CREATE TRIGGER IF NOT EXISTS t_au AFTER UPDATE OF tag, body ON t BEGIN UPDATE stamp SET sum=sum+new.tag-old.tag, bytes=bytes+length(new.body)-length(old.body); END;
`, gen, id)
}

// text is the SQL for the text of a row with a tag and a length.
func text(tag, length string) string {
	return fmt.Sprintf(`substr(replace(hex(zeroblob((%s)/16+1)),'00',printf('%%016x',%s)),1,%s)`, length, tag, length)
}

// contradictions is the SQL that lists what a sound state answers: table stamp, what table t
// amounts to, and how many rows have a text that is not theirs (none).
var contradictions = `SELECT ` + stampColumns + ` FROM stamp;
SELECT count(*), ifnull(sum(tag),0), ifnull(sum(length(body)),0), ifnull(sum(body <> ` + text(`tag`, `length(body)`) + `),0) FROM t;`

// tagBits keeps sums of tags far from what SQLite would turn into floating point.
const tagBits = 40

func tag(rng *rand.Rand) int64  { return rng.Int64N(1 << tagBits) }
func word(rng *rand.Rand) int64 { return rng.Int64N(1<<62) + 1 }

// bump ends each transaction's changes.
func bump(rng *rand.Rand, schemaName string) string {
	return fmt.Sprintf(`UPDATE %s.stamp SET n=n+1, id=%d;`, schemaName, word(rng))
}

// insert is the SQL for n rows with texts shorter than length, all following from rng.
func insert(rng *rand.Rand, schemaName string, n, length int) string {
	return fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d),
		r(tag) AS MATERIALIZED (SELECT (%d + i*%d) & %d FROM n)
		INSERT INTO %s.t(tag, body) SELECT tag, %s FROM r;`,
		n, tag(rng), tag(rng)|1, int64(1)<<tagBits-1, schemaName, text(`tag`, fmt.Sprintf(`(1+tag%%%d)`, length)))
}

// change is the SQL that gives n rows from some place on other tags, and texts of other lengths.
func change(rng *rand.Rand, schemaName string, n, length int) string {
	next := fmt.Sprintf(`((tag*3 + %d) & %d)`, tag(rng), int64(1)<<tagBits-1)
	return fmt.Sprintf(`UPDATE %[1]s.t SET tag=%[2]s, body=%[3]s WHERE id IN (SELECT id FROM %[1]s.t WHERE id >= %[4]s LIMIT %[5]d);`,
		schemaName, next, text(next, fmt.Sprintf(`(1+%s%%%d)`, next, length)), somewhere(rng, schemaName), n)
}

// remove is the SQL that deletes n rows from some place on.
func remove(rng *rand.Rand, schemaName string, n int) string {
	return fmt.Sprintf(`DELETE FROM %[1]s.t WHERE id IN (SELECT id FROM %[1]s.t WHERE id >= %[2]s LIMIT %[3]d);`,
		schemaName, somewhere(rng, schemaName), n)
}

func somewhere(rng *rand.Rand, schemaName string) string {
	return fmt.Sprintf(`(SELECT %d %% (1+ifnull(max(id),0)) FROM %s.t)`, rng.Int64N(1<<40), schemaName)
}

var pageSizes = []int{512, 1024, 2048, 4096, 8192, 16384, 32768, 65536}

func pick[T any](rng *rand.Rand, all ...T) T { return all[rng.IntN(len(all))] }

// readState reads table stamp of a schema.
func readState(conn *sqlite3.Conn, schemaName string) (s state, err error) {
	stmt, _, err := conn.Prepare(`SELECT ` + stampColumns + ` FROM ` + schemaName + `.stamp`)
	if err != nil {
		return s, err
	}
	defer stmt.Close()
	if stmt.Step() {
		for i, p := range []*int64{&s.Gen, &s.N, &s.ID, &s.Cnt, &s.Sum, &s.Bytes} {
			*p = stmt.ColumnInt64(i)
		}
	}
	return s, stmt.Err()
}

// query1 asks for one value.
func query1(conn *sqlite3.Conn, sql string) (string, error) {
	stmt, _, err := conn.Prepare(sql)
	if err != nil {
		return "", err
	}
	defer stmt.Close()
	var s string
	if stmt.Step() {
		s = stmt.ColumnText(0)
	}
	return s, stmt.Err()
}
