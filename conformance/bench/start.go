package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/boule-db/boule"
)

// start measures whole processes from start to first row: one that does nothing,
// with a warm compilation cache, with an empty one, and without.
func start(_ context.Context, work string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	warm := filepath.Join(work, "warm")
	ms := map[string]sample{}
	once := func(kind, cache string) error {
		t := time.Now()
		if out, err := exec.Command(self, "-child", kind, cache).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", kind, err, out)
		}
		ms[kind+cache] = append(ms[kind+cache], float64(time.Since(t).Microseconds())/1000)
		return nil
	}
	if err := once("row", warm); err != nil { // fills the cache
		return err
	}
	delete(ms, "row"+warm)
	var cold sample
	for i := range *rounds {
		empty := filepath.Join(work, fmt.Sprintf("cold%d", i))
		for _, p := range [][2]string{{"nothing", ""}, {"row", warm}, {"row", empty}, {"row", "off"}} {
			if err := once(p[0], p[1]); err != nil {
				return err
			}
		}
		cold = append(cold, ms["row"+empty]...)
	}
	w := table()
	fmt.Fprintln(w, "process start to first row\tms\tms above nothing")
	nothing := ms["nothing"]
	for _, r := range []struct {
		name string
		s    sample
	}{{"nothing", nothing}, {"warm cache", ms["row"+warm]}, {"empty cache", cold}, {"no cache", ms["rowoff"]}} {
		above := make(sample, len(r.s))
		for i := range above {
			above[i] = r.s[i] - nothing[i]
		}
		fmt.Fprintf(w, "%s\t%v\t%v\n", r.name, r.s, above)
	}
	fmt.Fprintln(w)
	return w.Flush()
}

// startChild is what a measured process does.
func startChild(kind, cache string) error {
	if kind == "nothing" {
		return nil
	}
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
