package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/conformance/bench/report"
)

// start measures whole processes from start to first row: one that does nothing, with a warm compilation cache, with
// an empty one, and without.
func (b *bench) start(ctx context.Context, work string) error {
	warm := filepath.Join(work, "warm")
	ms := map[string]report.Sample{}
	once := func(what string, args ...string) error {
		t := time.Now()
		if _, err := runChild(args...); err != nil {
			return err
		}
		ms[what] = append(ms[what], time.Since(t).Seconds()*1000)
		return nil
	}
	if err := once("", "row", warm); err != nil { // fills the cache
		return err
	}
	err := b.each(ctx, func(_ context.Context, round int) error {
		for range few(3, 1) {
			for _, p := range [][]string{{"nothing", "nothing"}, {"warm cache", "row", warm}} {
				if err := once(p[0], p[1:]...); err != nil {
					return err
				}
			}
		}
		if err := once("empty cache", "row", filepath.Join(work, fmt.Sprint(round))); err != nil {
			return err
		}
		return once("no cache", "row", "off")
	})
	if err != nil {
		return err
	}
	b.Add(report.Row{Group: "start", What: "a process that does nothing", Figure: ms["nothing"], Unit: "ms"})
	for _, what := range []string{"warm cache", "empty cache", "no cache"} {
		above := ms[what].Minus(ms["nothing"])
		b.Add(report.Row{Group: "start", What: "to the first row, " + what, Engine: unreplicated, Figure: ms[what], Unit: "ms"},
			report.Row{Group: "start", What: "above nothing, " + what, Engine: unreplicated, Figure: above, Unit: "ms"})
		if what == "warm cache" {
			b.Must(report.Limit{What: "warm start to the first row, above a process that does nothing", Measured: above, Limit: 60, Unit: "ms"})
		}
	}
	return nil
}

// runChild runs a process that is this program, and returns what it prints.
func runChild(args ...string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	out, err := exec.Command(self, append([]string{"-child"}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%v: %w: %s", args, err, out)
	}
	return string(out), nil
}

// beChild is what a measured process does.
func beChild(kind string, args []string) error {
	switch kind {
	case "row":
		return firstRow(args[0])
	case "memory":
		return useMemory(args[0], args[1])
	}
	return nil
}

func firstRow(cache string) error {
	db, err := boule.Open(context.Background(), ":memory:", &boule.Config{CacheDir: cache})
	if err != nil {
		return err
	}
	var one int
	if err := db.QueryRow(`SELECT 1`).Scan(&one); err != nil {
		return err
	}
	return db.Close()
}
