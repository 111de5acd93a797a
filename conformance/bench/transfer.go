package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/conformance/bench/report"
)

// upload counts what small transactions at 100 a second cost in requests and bytes.
func (b *bench) upload(ctx context.Context, work string) error {
	const rate = 100
	n := few(1000, 100)
	s := setup{page: 4096, journal: "DELETE", sync: "FULL", size: 10e6}
	ctx = context.WithoutCancel(ctx)
	w, err := newSite(ctx, work, s, []string{replicated}, nil)
	if err != nil {
		return err
	}
	before := boule.ReadMetrics()
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	for range n {
		<-tick.C
		if _, err := insertRows(w.conns[replicated], 1, 1); err != nil {
			return err
		}
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	after := boule.ReadMetrics()
	total := int64(0)
	for verb, n := range after.Requests {
		total += n - before.Requests[verb]
	}
	what := fmt.Sprintf("%d small commits at %d/s", n, rate)
	b.Add(w.row("upload", what, replicated, report.Sample{float64(total)}, "requests"),
		w.row("upload", what, replicated, report.Sample{float64(after.BytesSent-before.BytesSent) / 1e6}, "MB sent"))
	return w.close(ctx)
}

// restore measures restoring against copying the file.
func (b *bench) restore(ctx context.Context, work string) error {
	s := setup{page: 4096, journal: "DELETE", sync: "OFF"}
	w, err := newSite(ctx, work, s, []string{replicated}, nil)
	if err != nil {
		return err
	}
	if err := w.load(replicated, int64(*size)*1e6); err != nil {
		return err
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	if err := w.close(ctx); err != nil {
		return err
	}
	name := w.path(replicated)
	fi, err := os.Stat(name)
	if err != nil {
		return err
	}
	mb := float64(fi.Size()) / 1e6
	var copied, restored report.Sample
	timed := func(s *report.Sample, what string, f func(out string) error) error {
		out := filepath.Join(work, what)
		t := time.Now()
		if err := f(out); err != nil {
			return err
		}
		*s = append(*s, mb/time.Since(t).Seconds())
		return os.Remove(out)
	}
	err = b.each(ctx, func(ctx context.Context, _ int) error {
		if err := timed(&copied, "copied", func(out string) error { return copyFile(out, name) }); err != nil {
			return err
		}
		return timed(&restored, "restored", func(out string) error {
			_, err := boule.Restore(ctx, boule.SourceRef("", boule.CanonicalPath(name)), out, replicating(work), nil)
			return err
		})
	})
	if err != nil {
		return err
	}
	base := report.Row{Group: "restore", What: "copy and sync the file", Size: fi.Size(), Figure: copied, Unit: "MB/s"}
	b.Add(base, report.Row{
		Group: "restore", What: "restore from a directory", Engine: replicated, PageSize: 4096, Size: fi.Size(), Figure: restored, Unit: "MB/s",
	}.Over(base))
	return nil
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
