package main

import (
	"encoding/binary"
	"fmt"
	"os"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule/host"
)

// sparse makes a database of a size that would take hours to fill: a small one whose file is then extended by a hole,
// with the number of pages in its header (https://sqlite.org/fileformat2.html#in_header_database_size) to match.
// To SQLite these are pages in use, though of no table: it reads none of them. PRAGMA integrity_check says of each that
// it is never used.
//
// There are free pages for some ten thousand rows. The file must not grow: go-sqlite3 would have the system allocate
// all of it.
func sparse(path string, s setup) error {
	if s.size%int64(s.page) != 0 {
		return fmt.Errorf("a database of %d bytes has no whole pages of %d", s.size, s.page)
	}
	full := s
	full.size = min(s.size/2, 16e6)
	if err := host.Init(nil); err != nil {
		return err
	}
	conn, err := sqlite3.Open("file:" + path)
	if err != nil {
		return err
	}
	if err = conn.Exec(fmt.Sprintf(`PRAGMA page_size=%d; PRAGMA journal_mode=DELETE`, s.page)); err == nil {
		err = full.fill(conn)
	}
	if err == nil {
		err = conn.Exec(fmt.Sprintf(`DELETE FROM t WHERE id > %d`, min(s.size/8, 1e6)/rowSize))
	}
	if err != nil {
		_ = conn.Close()
		return err
	}
	if err := conn.Close(); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if s.size < fi.Size() {
		return fmt.Errorf("the rows alone take %d bytes, more than %d", fi.Size(), s.size)
	}
	const pageCountAt = 28
	pages := binary.BigEndian.AppendUint32(nil, uint32(s.size/int64(s.page)))
	if _, err := f.WriteAt(pages, pageCountAt); err != nil {
		return err
	}
	return f.Truncate(s.size)
}
