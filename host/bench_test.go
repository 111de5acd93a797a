package host_test

import (
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/boule-db/boule/host"
)

// BenchmarkStart times whole processes, from start to exit: one that does
// nothing, and those that ask SQLite for one row with machine code from the
// cache, without a cache, and without a compiler. The kinds take turns, so that
// the ratios hold on a busy machine too.
func BenchmarkStart(b *testing.B) {
	dir := cacheDir(b)
	child(b, "start", dir)
	kinds := []struct{ name, what, dir string }{
		{"nothing", "nothing", ""},
		{"warm", "start", dir},
		{"cold", "start", host.CacheOff},
		{"interpreter", "other configuration", host.CacheOff},
	}
	times := make([][]time.Duration, len(kinds))
	for b.Loop() {
		for i, kind := range kinds {
			began := time.Now()
			if out, err := exec.Command(program, kind.what, kind.dir).Output(); err != nil {
				b.Fatalf("%s: %v\n%s", kind.name, err, out)
			}
			times[i] = append(times[i], time.Since(began))
		}
	}
	median := func(i int) float64 {
		slices.Sort(times[i])
		return float64(times[i][len(times[i])/2])
	}
	for i, kind := range kinds {
		b.ReportMetric(median(i)/1e6, kind.name+"-ms")
	}
	b.ReportMetric((median(1)-median(0))/1e6, "warm-nothing-ms")
	b.ReportMetric(median(2)/median(1), "cold/warm")
}
