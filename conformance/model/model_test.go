//go:build linux || darwin || freebsd

package model

import (
	"flag"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/boule-db/boule/manifest"
)

func TestMain(m *testing.M) {
	// The zstd coders make their channels when first used: that must be outside of the bubbles.
	chunk := []byte("warm up")
	if _, err := manifest.DecompressChunk(manifest.Compress(chunk), manifest.Sum(chunk)); err != nil {
		panic(err)
	}
	flag.Parse()
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for name, value := range map[string]string{"rapid.checks": "60", "rapid.steps": "12"} {
		if !given[name] && os.Getenv(strings.ToUpper(strings.ReplaceAll(name, ".", "_"))) == "" {
			if err := flag.Set(name, value); err != nil {
				panic(err)
			}
		}
	}
	os.Exit(m.Run())
}

func TestModel(t *testing.T) {
	for i := range mixes {
		m := &mixes[i]
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			var sum counts
			start := time.Now()
			dir := t.TempDir()
			rapid.Check(t, func(rt *rapid.T) {
				p := m.draw(rt)
				w := play(t, dir, p)
				sum.add(w.count)
				if w.failed() {
					rt.Fatalf("%s\n%v\n%s", strings.Join(w.problems, "\n"), p, w.tail())
				}
			})
			t.Logf("%v in %v", sum, time.Since(start).Round(time.Millisecond))
		})
	}
}

// play runs a plan.
func play(t *testing.T, dir string, p *plan) (w *world) {
	synctest.Test(t, func(*testing.T) {
		w = newWorld(dir, p)
		defer w.end()
		w.run()
	})
	return w
}

// tail is the last part of what happened.
func (w *world) tail() string {
	var b strings.Builder
	for _, e := range w.trace[max(0, len(w.trace)-200):] {
		b.WriteString(e.String() + "\n")
	}
	return b.String()
}
