package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/boule-db/boule/conformance/bench/report"
)

// connections are opened to see what one takes.
const connections = 50

// memory measures what an open connection takes, that has read one row: resident memory and file descriptors, in a
// process of its own for each engine.
func (b *bench) memory(ctx context.Context, work string) error {
	if _, err := resident(); err != nil {
		b.Note("memory was not measured: %v", err)
		return nil
	}
	kb, fds := map[string]report.Sample{}, map[string]report.Sample{}
	err := b.each(ctx, func(_ context.Context, round int) error {
		for _, e := range engines {
			out, err := runChild("memory", e, filepath.Join(work, fmt.Sprint(round, e)))
			if err != nil {
				return err
			}
			var k, n float64
			if _, err := fmt.Sscan(out, &k, &n); err != nil {
				return fmt.Errorf("%q: %w", out, err)
			}
			kb[e], fds[e] = append(kb[e], k), append(fds[e], n)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, found := range []map[string]report.Sample{kb, fds} {
		base := report.Row{
			Group: "memory", What: "per open connection", Engine: plain, PageSize: 4096, Journal: "DELETE",
			Figure: found[plain], Unit: []string{"KB", "descriptors"}[i],
		}
		b.Add(base)
		for _, e := range []string{unreplicated, replicated} {
			row := base
			row.Engine, row.Figure = e, found[e]
			b.Add(row.Over(base))
		}
	}
	return nil
}

// useMemory opens connections and prints what each takes, in KB and descriptors.
func useMemory(engine, dir string) error {
	ctx := context.Background()
	w, err := newSite(ctx, dir, setup{page: 4096, journal: "DELETE", sync: "FULL", size: 1e6}, []string{engine}, nil)
	if err != nil {
		return err
	}
	look := func() (kb, fds int, err error) {
		debug.FreeOSMemory()
		if kb, err = resident(); err != nil {
			return 0, 0, err
		}
		names, err := os.ReadDir("/proc/self/fd")
		return kb, len(names), err
	}
	kb, fds, err := look()
	if err != nil {
		return err
	}
	for range connections {
		if err := w.open(ctx, engine); err != nil { // those before stay open
			return err
		}
		if _, err := number(w.conns[engine], `SELECT a FROM t WHERE id = 100`); err != nil {
			return err
		}
	}
	kbAfter, fdsAfter, err := look()
	if err != nil {
		return err
	}
	fmt.Println(float64(kbAfter-kb)/connections, float64(fdsAfter-fds)/connections)
	return nil
}

// resident is the resident memory of this process, in KB.
func resident() (int, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	line, _, _ := strings.Cut(after, "kB")
	return strconv.Atoi(strings.TrimSpace(line))
}
