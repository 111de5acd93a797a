package faultloop

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/boule-db/boule/internal/fsx"
)

// Errors are those that [Run] injects: a broken disk, a full one, one that may not
// be written, and a process that has too many files open.
var Errors = []struct {
	Name string
	Err  error
}{
	{"EIO", syscall.EIO},
	{"ENOSPC", syscall.ENOSPC},
	{"EACCES", syscall.EACCES},
	{"EMFILE", syscall.EMFILE},
}

const (
	most       = 5000 // runs of a loop, which then never becomes clean
	mostFailed = 5    // runs that fail, before the rest is not worth the time
)

// Run runs body for each of [Errors] and i = 0, 1, 2…, with a plan by which the i-th
// file operation fails with that error, once. It ends with the first run in which there
// are no more than i operations, and returns how many runs there were.
func Run(t *testing.T, body func(t *testing.T, plan *fsx.Plan)) (runs int) {
	t.Helper()
	for _, e := range Errors {
		runs += loop(t, e.Name, func(n int) *fsx.Plan { return fsx.FailAt(n, e.Err) }, body)
	}
	t.Logf("%d runs", runs)
	return runs
}

// Crash is Run with a crash before the i-th operation in place of an error. What was
// open must not be used any further; what is found on disk after it is what the test
// is about.
func Crash(t *testing.T, body func(t *testing.T, plan *fsx.Plan)) (runs int) {
	t.Helper()
	runs = loop(t, "crash", fsx.CrashAt, body)
	t.Logf("%d runs", runs)
	return runs
}

func loop(t *testing.T, name string, plan func(n int) *fsx.Plan, body func(*testing.T, *fsx.Plan)) (runs int) {
	t.Helper()
	failed := 0
	for n := range most {
		p := plan(n)
		ok := t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("the fault was at: %q", p.Hit())
				}
			}()
			body(t, p)
		})
		if p.Hit() == "" {
			if p.Calls() == 0 {
				t.Errorf("%s: there was no file operation at all: is the plan used?", name)
			}
			return n + 1
		}
		if !ok {
			failed++
		}
		if failed == mostFailed {
			t.Fatalf("%s: given up at operation %d", name, n)
		}
	}
	t.Fatalf("%s: no clean run within %d", name, most)
	return most
}
