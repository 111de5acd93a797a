package wasmvfs_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/wasmvfs"
)

func TestReadsAndWritesDoNotAllocate(t *testing.T) {
	c := open(t, wasmvfs.Name, tempPath(t), "")
	setUp(t, c, "DELETE")
	f := fileOf(t, c)
	page := make([]byte, 4096)
	if _, err := f.ReadAt(page, 0); err != nil {
		t.Fatal(err)
	}
	for what, op := range map[string]func() error{
		"read":  func() error { return second(f.ReadAt(page, 0)) },
		"write": func() error { return second(f.WriteAt(page, 0)) },
		"lock": func() error {
			if err := f.Lock(vfs.LOCK_SHARED); err != nil {
				return err
			}
			return f.Unlock(vfs.LOCK_NONE)
		},
	} {
		inner := f.(vfs.FileUnwrap).Unwrap()
		base := 0.0
		if what == "lock" {
			base = testing.AllocsPerRun(100, func() {
				if inner.Lock(vfs.LOCK_SHARED) != nil || inner.Unlock(vfs.LOCK_NONE) != nil {
					t.Error("the os VFS can't lock")
				}
			})
		}
		// The first write of a transaction may allocate.
		if err := op(); err != nil {
			t.Fatal(err)
		}
		if got := testing.AllocsPerRun(100, func() {
			if err := op(); err != nil {
				t.Error(err)
			}
		}); got > base && what != "lock" || got > base+1 {
			t.Errorf("%s allocates %v times, the os VFS %v times", what, got, base)
		}
	}
}

// BenchmarkFile compares single calls.
func BenchmarkFile(b *testing.B) {
	page := make([]byte, 4096)
	for _, name := range []string{"os", wasmvfs.Name} {
		c := open(b, name, tempPath(b), "")
		setUp(b, c, "DELETE")
		p, err := c.FileControl("main", sqlite3.FCNTL_FILE_POINTER)
		if err != nil {
			b.Fatal(err)
		}
		f := p.(vfs.File)
		b.Run("ReadAt/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.ReadAt(page, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("WriteAt/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.WriteAt(page, 4096); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTransaction compares small transactions on the os VFS, on ours as a
// plain wrapper, and replicated. They take turns, so that the ratios hold on a
// busy machine too.
func BenchmarkTransaction(b *testing.B) {
	plain := register(b, wasmvfs.New(nil, nil))
	names := []string{"os", plain, wasmvfs.Name}
	labels := []string{"os", "plain", "replicated"}
	for _, mode := range []string{"DELETE", "TRUNCATE", "PERSIST"} {
		for _, sync := range []string{"OFF", "FULL"} {
			b.Run(fmt.Sprintf("%s/%s", mode, sync), func(b *testing.B) {
				var conns []*sqlite3.Conn
				for _, name := range names {
					c := open(b, name, tempPath(b), "")
					exec(b, c, "PRAGMA synchronous="+sync)
					setUp(b, c, mode)
					exec(b, c, "INSERT INTO t VALUES (1, 2, 0)")
					conns = append(conns, c)
				}
				times := make([][]time.Duration, len(conns))
				for b.Loop() {
					for i, c := range conns {
						began := time.Now()
						if err := c.Exec("UPDATE t SET c = c + 1"); err != nil {
							b.Fatal(err)
						}
						times[i] = append(times[i], time.Since(began))
					}
				}
				var median [3]float64
				for i := range times {
					slices.Sort(times[i])
					median[i] = float64(times[i][len(times[i])/2])
					b.ReportMetric(median[i]/1e3, labels[i]+"-us")
				}
				b.ReportMetric(median[1]/median[0], "plain/os")
				b.ReportMetric(median[2]/median[0], "replicated/os")
			})
		}
	}
}
