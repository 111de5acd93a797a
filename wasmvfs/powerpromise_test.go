//go:build linux || darwin || freebsd

package wasmvfs_test

import "fmt"

// What SQLite promises about a crash, and what it does not, is in
// https://sqlite.org/pragma.html#pragma_synchronous,
// https://sqlite.org/pragma.html#pragma_journal_mode and
// https://sqlite.org/atomiccommit.html. A loss is the kind of a crash.
type loss int

const (
	killed  loss = iota // the process; the system lives on
	power               // whatever was not synced, in any order
	ordered             // as power, but nothing is lost that was done before what is kept
)

func (l loss) String() string { return [...]string{"killed", "power", "ordered"}[l] }

// A promise says how many transactions may be lost whose COMMIT has returned: the
// states that may be found are those from acked-lost on. All are whole and pass
// integrity_check.
type promise struct {
	any  bool // is there one
	lost int
}

const all = 1 << 30

// promised returns what SQLite promises; idle says that no transaction was going on.
func promised(journal, sync string, l loss, idle bool) promise {
	rollback := journal == "DELETE" || journal == "TRUNCATE" || journal == "PERSIST"
	switch {
	case !rollback && journal != "WAL" && !idle:
		// MEMORY and OFF: "if the application crashes in the middle of a
		// transaction, then the database file will very likely go corrupt".
		return promise{}
	case l == killed:
		// "Transactions are durable across application crashes regardless of the
		// synchronous setting or journal mode."
		return promise{any: true}
	case sync == "OFF":
		// "The database might become corrupted if the operating system crashes or the
		// computer loses power."
		return promise{}
	case !rollback && journal != "WAL":
		// Nothing is promised about MEMORY and OFF, but the file is synced before
		// COMMIT returns.
		return promise{any: true}
	case journal == "WAL" && sync == "NORMAL":
		// "WAL mode is always consistent with synchronous=NORMAL, but WAL mode does
		// lose durability."
		return promise{any: true, lost: all}
	case journal == "WAL":
		return promise{any: true}
	case sync == "NORMAL" && l == power:
		// "There is a very small (though non-zero) chance that a power failure at just the
		// wrong time could corrupt the database": when the header of the journal arrives
		// and its pages do not, which an ordered file system rules out.
		return promise{}
	case journal == "PERSIST":
		return promise{any: true} // its header is overwritten and synced
	case journal == "TRUNCATE" && sync != "NORMAL":
		return promise{any: true} // it is truncated and synced
	case sync == "EXTRA":
		// "EXTRA synchronous is like FULL with the addition that the directory
		// containing a rollback journal is synced after that journal is unlinked to
		// commit a transaction in DELETE mode."
		return promise{any: true}
	default:
		return promise{any: true, lost: 1} // the journal may be back
	}
}

// A powerStep is a transaction of the workload.
type powerStep struct {
	sql string
	// Only where the journal can roll back, and only with a second database: that
	// needs a rollback journal, and some synchronous, or nothing is promised.
	rollback, attached bool
}

// insert makes rows whose content tells the transaction that made them.
func insert(table string, from, to, size int) string {
	return fmt.Sprintf(`INSERT INTO %s WITH RECURSIVE c(i) AS (SELECT %d UNION ALL SELECT i+1 FROM c WHERE i < %d)
		SELECT i, printf('%%d:%%0%dd', i, i) FROM c;`, table, from, to, size)
}

const update = `UPDATE t SET v = 'new' || v`

var powerSteps = []powerStep{
	{sql: `CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); CREATE INDEX tv ON t(v);`},
	{sql: insert("t", 1, 3, 100)},
	{sql: insert("t", 10, 30, 900)}, // grows, and spills the cache
	{sql: update + ` WHERE id % 3 = 0;`},
	{sql: insert("t", 100, 110, 700) + `SAVEPOINT s; DELETE FROM t WHERE id < 20; ROLLBACK TO s;`, rollback: true},
	{sql: `DELETE FROM t WHERE id BETWEEN 5 AND 25;`}, // shrinks
	{sql: `INSERT INTO t VALUES(200, 'x');`},
	{sql: `INSERT INTO t VALUES(201, 'y');`},
	{sql: `CREATE TABLE aux.t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO main.t VALUES(250, 'x');`, attached: true},
	{sql: `INSERT INTO aux.t VALUES(1, 'both'); INSERT INTO main.t VALUES(300, 'both');`, attached: true},
	{sql: insert("aux.t", 10, 25, 900) + update + ` WHERE id > 20;`, attached: true}, // both spill
	{sql: `DELETE FROM aux.t WHERE id > 12; DELETE FROM main.t WHERE id > 105;`, attached: true},
	{sql: update + `;` + insert("t", 400, 420, 500)},
	{sql: `INSERT INTO t VALUES(500, 'z');`},
}
