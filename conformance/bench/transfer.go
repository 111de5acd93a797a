package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule"
)

// upload counts what 1,000 small transactions at 100 a second cost in requests
// and bytes.
func upload(ctx context.Context, work string) error {
	const n, rate = 1000, 100
	r, err := boule.New(replicating(work))
	if err != nil {
		return err
	}
	defer r.Close(ctx)
	name := filepath.Join(work, "upload.db")
	conn, err := r.OpenConn(ctx, name, sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Exec(`CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER, b BLOB)`); err != nil {
		return err
	}
	if err := r.Flush(ctx, name); err != nil {
		return err
	}
	before := boule.ReadMetrics()
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	for range n {
		<-tick.C
		if _, err := insertRows(conn, 1); err != nil {
			return err
		}
	}
	if err := r.Flush(ctx, name); err != nil {
		return err
	}
	after := boule.ReadMetrics()
	w := table()
	fmt.Fprintf(w, "1,000 small transactions at %d/s\trequests\tbytes sent\n", rate)
	total := int64(0)
	for verb, n := range after.Requests {
		total += n - before.Requests[verb]
	}
	fmt.Fprintf(w, "layout chunks\t%d\t%d\n\n", total, after.BytesSent-before.BytesSent)
	return w.Flush()
}

// restore measures restoring against copying the file.
func restore(ctx context.Context, work string) error {
	cfg := replicating(work)
	r, err := boule.New(cfg)
	if err != nil {
		return err
	}
	defer r.Close(ctx)
	name := filepath.Join(work, "restore.db")
	conn, err := r.OpenConn(ctx, name, sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE)
	if err != nil {
		return err
	}
	// Half of each row can be compressed.
	err = conn.Exec(fmt.Sprintf(`PRAGMA synchronous=OFF; CREATE TABLE t(a BLOB, b TEXT);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d)
		INSERT INTO t SELECT randomblob(500), printf('%%0500d', i) FROM n`, *size<<20/1024))
	if err == nil {
		err = conn.Close()
	}
	if err != nil {
		return err
	}
	if err := r.Flush(ctx, name); err != nil {
		return err
	}
	fi, err := os.Stat(name)
	if err != nil {
		return err
	}
	mib := float64(fi.Size()) / (1 << 20)
	var copied, restored sample
	for i := range *rounds {
		again := filepath.Join(work, fmt.Sprintf("copy%d", i))
		t := time.Now()
		if err := copyFile(again, name); err != nil {
			return err
		}
		copied = append(copied, mib/time.Since(t).Seconds())
		if err := os.Remove(again); err != nil {
			return err
		}
		out := filepath.Join(work, fmt.Sprintf("restored%d", i))
		t = time.Now()
		if _, err := boule.Restore(ctx, boule.SourceRef("", boule.CanonicalPath(name)), out, cfg, nil); err != nil {
			return err
		}
		restored = append(restored, mib/time.Since(t).Seconds())
		if err := os.Remove(out); err != nil {
			return err
		}
	}
	w := table()
	fmt.Fprintf(w, "restore of %.0f MiB from a directory\tMiB/s\tratio to a synced copy\n", mib)
	fmt.Fprintf(w, "layout chunks\t%v\t%v\n\n", restored, restored.ratio(copied))
	return w.Flush()
}

// copyFile copies and syncs, which restore does too.
func copyFile(to, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	defer dst.Close()
	// Hide the file's type: the kernel must not share blocks.
	if _, err := io.Copy(struct{ io.Writer }{dst}, struct{ io.Reader }{src}); err != nil {
		return err
	}
	return dst.Sync()
}
