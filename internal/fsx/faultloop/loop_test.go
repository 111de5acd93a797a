//go:build linux || darwin || freebsd

package faultloop_test

import (
	"errors"
	"testing"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/internal/fsx/faultloop"
)

func TestRun(t *testing.T) {
	seen := map[string]int{}
	runs := faultloop.Run(t, func(t *testing.T, plan *fsx.Plan) {
		fsys := plan.Wrap(fsx.NewMem(nil))
		err := errors.Join(fsys.Mkdir("d", 0o777), fsys.Mkdir("d/e", 0o777), fsys.SyncDir("d"))
		if (err == nil) != (plan.Hit() == "") {
			t.Errorf("hit %q, got %v", plan.Hit(), err)
		}
		for _, e := range faultloop.Errors {
			if errors.Is(err, e.Err) {
				seen[e.Name+" at "+plan.Hit()]++
			}
		}
	})
	if want := 4 * (3 + 1); runs != want {
		t.Errorf("got %d runs, want %d", runs, want)
	}
	for _, e := range faultloop.Errors {
		for _, op := range []string{"mkdir d", "mkdir d/e", "syncdir d"} {
			if seen[e.Name+" at "+op] != 1 {
				t.Errorf("%s was not injected at %s, or more than once: %v", e.Name, op, seen)
			}
		}
	}
}

func TestCrash(t *testing.T) {
	var left []int
	faultloop.Crash(t, func(t *testing.T, plan *fsx.Plan) {
		mem := fsx.NewMem(nil)
		fsys := plan.Wrap(mem)
		err := errors.Join(fsys.Mkdir("a", 0o777), fsys.Mkdir("b", 0o777))
		if errors.Is(err, fsx.ErrCrashed) != (plan.Hit() != "") {
			t.Errorf("hit %q, got %v", plan.Hit(), err)
		}
		names, err := mem.ReadDir(".")
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, len(names))
	})
	if len(left) != 3 || left[0] != 0 || left[1] != 1 || left[2] != 2 {
		t.Errorf("got %v directories, want 0, 1 and 2", left)
	}
}
