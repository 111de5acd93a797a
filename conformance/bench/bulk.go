package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/conformance/bench/report"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/target"
)

// bulk loads a database, in transactions of about 50 MB, until the store has it, and compares that with the load
// alone and with what hashing, compressing and writing the chunks takes alone. Half of each row can be compressed.
func (b *bench) bulk(ctx context.Context, work string) error {
	s := setup{page: 4096, journal: "TRUNCATE", sync: "OFF"}
	var load, synced, loaded, added, alone, fresh report.Sample
	bytes := int64(0)
	three := &bench{Report: b.Report, rounds: min(b.rounds, 3)} // they are long
	err := three.each(ctx, func(ctx context.Context, round int) error {
		dir := filepath.Join(work, fmt.Sprint(round))
		w, err := newSite(ctx, dir, s, []string{plain, replicated}, nil)
		if err != nil {
			return err
		}
		var took [2]time.Duration // of the load alone, and until the store has it
		rate := func(since time.Time) float64 { return float64(bytes) / 1e6 / time.Since(since).Seconds() }
		err = w.turns(round, func(e string) error {
			t := time.Now()
			if err := w.load(e, int64(*bulk)*1e6); err != nil {
				return err
			}
			fi, err := os.Stat(w.path(e))
			if err != nil {
				return err
			}
			bytes = fi.Size()
			if e == plain {
				took[0] = time.Since(t)
				load = append(load, rate(t))
				return nil
			}
			loaded = append(loaded, rate(t))
			err = w.settle(ctx)
			took[1] = time.Since(t)
			synced = append(synced, rate(t))
			return err
		})
		if err != nil {
			return err
		}
		// What replication adds can't be less than a moment, whatever the machine did meanwhile.
		added = append(added, float64(bytes)/1e6/max(took[1]-took[0], 10*time.Millisecond).Seconds())
		if err := w.close(ctx); err != nil {
			return err
		}
		t := time.Now()
		if err := chunksAlone(ctx, w.path(plain), filepath.Join(dir, "alone")); err != nil {
			return err
		}
		alone = append(alone, rate(t))
		// What is there and was never replicated.
		t = time.Now()
		again := &site{setup: s, dir: filepath.Join(dir, "again"), engines: []string{replicated}}
		if err := os.MkdirAll(again.dir, 0o700); err != nil {
			return err
		}
		if err := os.Rename(w.path(plain), again.path(replicated)); err != nil {
			return err
		}
		if again, err = newSite(ctx, again.dir, s, again.engines, func(string) error { return nil }); err != nil {
			return err
		}
		fresh = append(fresh, rate(t))
		return errors.Join(again.close(ctx), os.RemoveAll(dir))
	})
	if err != nil {
		return err
	}
	s.size = bytes
	w := &site{setup: s}
	base := w.row("bulk", "load", plain, load, "MB/s")
	floor := w.row("bulk", "hash, compress and write the chunks alone", "", alone, "MB/s")
	b.Add(base, floor,
		w.row("bulk", "load", replicated, loaded, "MB/s").Over(base),
		w.row("bulk", "load until the store has it", replicated, synced, "MB/s").Over(base),
		w.row("bulk", "size by the time that replication adds", replicated, added, "MB/s").Over(floor),
		w.row("bulk", "first upload of what is there", replicated, fresh, "MB/s").Over(floor))
	wanted := min(100, 0.8*alone.Median())
	b.Must(report.Limit{What: "bulk load, size by the time that replication adds", Measured: added, Limit: wanted, AtLeast: true, Unit: "MB/s"},
		report.Limit{What: "first upload of a database that is there", Measured: fresh, Limit: wanted, AtLeast: true, Unit: "MB/s"})
	return nil
}

// load inserts rows of 1,000 bytes, half of them text.
func (w *site) load(engine string, bytes int64) error {
	const each = 1030
	per := min(50e6, max(bytes, each)) / each
	conn := w.conns[engine]
	if err := conn.Exec(`CREATE TABLE u(a BLOB, b TEXT)`); err != nil {
		return err
	}
	for done := int64(0); done < bytes; done += per * each {
		err := conn.Exec(fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d)
			INSERT INTO u SELECT randomblob(500), printf('%%0500d', i) FROM n`, per))
		if err != nil {
			return err
		}
	}
	return nil
}

// chunksAlone does to a database what replication can't do without: each chunk is hashed, compressed, and written
// into a store, on all CPUs.
func chunksAlone(ctx context.Context, path, dir string) error {
	stores, err := target.Open(ctx, target.Target{File: &target.File{Directory: dir}}, &target.OpenOptions{Limiter: unlimited})
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(4 * runtime.NumCPU()) // a write waits for its disk
	for off := int64(0); off < fi.Size(); off += manifest.ChunkSize {
		g.Go(func() error {
			chunk := make([]byte, min(manifest.ChunkSize, fi.Size()-off))
			if _, err := f.ReadAt(chunk, off); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			_, err := stores.Chunks.Put(ctx, manifest.Sum(chunk).ChunkName(), manifest.Compress(chunk), store.Condition{})
			return err
		})
	}
	return g.Wait()
}
