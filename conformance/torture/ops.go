//go:build linux

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// step does one thing of many.
func (w *writer) step() (what string, err error) {
	wal, off := w.mode == "wal", w.mode == "off"
	switch n := w.rng.IntN(100); {
	case n < 40:
		return "small", w.transaction("small", w.small(), false)
	case n < 48:
		return "burst", w.burst()
	case n < 58:
		return "big", w.transaction("big", w.big(), false)
	case n < 64 && !off:
		return "rollback", w.transaction("rollback", pick(w.rng, w.small(), w.big()), true)
	case n < 70:
		return "shrink", w.transaction("shrink", remove(w.rng, "main", 200+w.rng.IntN(5000)), false)
	case n < 74 && !off:
		return "vacuum", w.vacuum(wal)
	case n < 78:
		return "incremental vacuum", w.transaction("incremental", fmt.Sprintf(`PRAGMA incremental_vacuum(%d);`, w.rng.IntN(200)), false)
	case n < 83:
		return "read", w.read()
	case n < 87 && !wal && !off:
		return "exclusive", w.exclusively()
	case n < 92 && w.Writer.Pair && !wal && !off && w.mode != "memory":
		return "attach", w.attached()
	case n < 93 && w.Writer.WAL && !wal:
		return "enter WAL", w.enterWAL()
	case n < 98:
		return "journal mode", w.journal()
	}
	pause(w.ctx, time.Duration(w.rng.IntN(300))*time.Millisecond)
	return "pause", nil
}

func (w *writer) small() string {
	length := pick(w.rng, 10, 100, 1000, 20000)
	switch w.rng.IntN(4) {
	case 0:
		return change(w.rng, "main", 1+w.rng.IntN(5), length)
	case 1:
		return remove(w.rng, "main", 1+w.rng.IntN(5))
	}
	return insert(w.rng, "main", 1+w.rng.IntN(5), length)
}

func (w *writer) big() string {
	length := pick(w.rng, 50, 500, 5000)
	rows := 1 + w.rng.IntN(int(min(w.Writer.MaxBytes/4/int64(length), 3000))+1)
	if w.rng.IntN(3) == 0 {
		return change(w.rng, "main", rows, length)
	}
	return insert(w.rng, "main", rows, length)
}

// transaction runs some SQL between reading the state and counting it up. Whatever
// went before, the size stays within bounds.
func (w *writer) transaction(what, sql string, back bool) error {
	begin := `BEGIN IMMEDIATE`
	if w.mode == "off" || w.mode == "memory" {
		begin = `BEGIN EXCLUSIVE` // no error must come in the middle, for nothing takes it back
	}
	if err := w.conn.Exec(begin); err != nil {
		return err
	}
	before, err := readState(w.conn, "main")
	if err == nil {
		err = w.record.seen(before, "read")
	}
	if err == nil && before.Bytes > w.Writer.MaxBytes {
		sql = remove(w.rng, "main", int(before.Cnt/2)+1)
	}
	if err == nil {
		err = w.conn.Exec(sql + bump(w.rng, "main"))
	}
	var after state
	if err == nil {
		after, err = readState(w.conn, "main")
	}
	if err == nil && w.rng.IntN(8) == 0 {
		pause(w.ctx, time.Duration(w.rng.IntN(60))*time.Millisecond)
	}
	if err == nil && back {
		err = w.record.rolledBack(after, w.label(what))
	}
	if err != nil || back {
		return errors.Join(err, w.rollback())
	}
	if err := w.conn.Exec(`COMMIT`); err != nil {
		return errors.Join(err, w.rollback())
	}
	return w.record.seen(after, w.label(what))
}

func (w *writer) rollback() error {
	if w.conn.GetAutocommit() {
		return nil
	}
	return w.conn.Exec(`ROLLBACK`)
}

// burst is many small transactions at once.
func (w *writer) burst() error {
	for range 5 + w.rng.IntN(60) {
		if w.ctx.Err() != nil {
			return nil
		}
		if err := w.transaction("burst", insert(w.rng, "main", 1, 50), false); err != nil {
			return err
		}
	}
	return nil
}

// vacuum rewrites the database, sometimes with other pages. It changes no state.
func (w *writer) vacuum(wal bool) error {
	sql := ``
	if !wal && w.rng.IntN(2) == 0 {
		sql = fmt.Sprintf(`PRAGMA page_size=%d;`, pick(w.rng, pageSizes...))
	}
	if w.rng.IntN(2) == 0 {
		sql += fmt.Sprintf(`PRAGMA auto_vacuum=%d;`, w.rng.IntN(3))
	}
	if err := w.conn.Exec(sql + `VACUUM`); err != nil {
		return err
	}
	s, err := readState(w.conn, "main")
	if err != nil {
		return err
	}
	return w.record.seen(s, w.label("vacuum"))
}

func (w *writer) read() error {
	s, err := readState(w.conn, "main")
	if err != nil {
		return err
	}
	return w.record.seen(s, "read")
}

// exclusively keeps the lock over several transactions. It has the lock before it begins to keep it:
// two that keep SHARED would wait for each other.
func (w *writer) exclusively() error {
	if err := w.conn.Exec(`BEGIN EXCLUSIVE; PRAGMA locking_mode=EXCLUSIVE; COMMIT`); err != nil {
		return errors.Join(err, w.rollback())
	}
	for range 2 + w.rng.IntN(8) {
		if w.ctx.Err() != nil {
			break
		}
		if err := w.transaction("exclusive", pick(w.rng, w.small(), w.small(), w.big()), false); err != nil {
			return err
		}
		if w.rng.IntN(3) == 0 { // a snapshot within the lock
			pause(w.ctx, time.Duration(w.rng.IntN(300))*time.Millisecond)
		}
	}
	if err := w.conn.Exec(`PRAGMA locking_mode=NORMAL`); err != nil {
		return err
	}
	return w.read() // unlocks
}

// attached writes two databases in one transaction. What it puts into both is compared when all
// is quiet.
func (w *writer) attached() error {
	name, err := w.r.DSN(filepath.Join(w.db(), w.Slots[1].Names[0]))
	if err != nil {
		return err
	}
	main, err := query1(w.conn, `SELECT file FROM pragma_database_list WHERE name='main'`)
	if err != nil || filepath.Base(main) == w.Slots[1].Names[0] {
		return err // always the first slot first, so that nobody waits in a circle
	}
	// With synchronous=OFF a commit of two files is not atomic.
	if err := w.conn.Exec(`ATTACH '` + name + `' AS two; PRAGMA main.synchronous=NORMAL; PRAGMA two.synchronous=NORMAL`); err != nil {
		return err
	}
	if err := w.two(); err != nil {
		return err // the connection is dropped, with what it attached
	}
	return w.conn.Exec(`DETACH two`)
}

func (w *writer) two() error {
	if n, err := query1(w.conn, `SELECT count(*) FROM two.sqlite_schema WHERE name='stamp'`); err != nil || n == "0" {
		return err
	}
	if mode, err := query1(w.conn, `PRAGMA two.journal_mode`); err != nil || mode == "wal" {
		return err // there is no atomic commit of both with WAL
	}
	if err := w.conn.Exec(`BEGIN IMMEDIATE`); err != nil {
		return err
	}
	pair := word(w.rng)
	var after [2]state
	var err error
	for i, name := range []string{"main", "two"} {
		var before state
		if before, err = readState(w.conn, name); err == nil {
			err = w.record.seen(before, "read")
		}
		if err == nil {
			err = w.conn.Exec(fmt.Sprintf(`%s %s UPDATE %s.stamp SET pair=%d`, insert(w.rng, name, 1+w.rng.IntN(50), 300), bump(w.rng, name), name, pair))
		}
		if err == nil {
			after[i], err = readState(w.conn, name)
		}
		if err != nil {
			return errors.Join(err, w.rollback())
		}
	}
	if err := w.conn.Exec(`COMMIT`); err != nil {
		return errors.Join(err, w.rollback())
	}
	return errors.Join(w.record.seen(after[0], w.label("attach")), w.record.seen(after[1], w.label("attach")))
}
