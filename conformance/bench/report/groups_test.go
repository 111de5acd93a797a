package report_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/boule-db/boule/conformance/bench/report"
)

func TestGroups(t *testing.T) {
	work := t.TempDir()
	sub := func(name string) (string, error) {
		dir := filepath.Join(work, name)
		return dir, os.Mkdir(dir, 0o700)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var ran []string
	group := func(name string, result error) report.Group {
		return report.Group{Name: name, Run: func(_ context.Context, dir string) error {
			ran = append(ran, name)
			if info, err := os.Stat(dir); err != nil || !info.IsDir() || filepath.Base(dir) != name {
				t.Errorf("%s works in %s: %v", name, dir, err)
			}
			if name == "late" {
				cancel()
				return ctx.Err()
			}
			return result
		}}
	}
	failed := errors.New("failed")
	all := []report.Group{group("a", nil), group("b", failed), group("late", nil), group("later", nil)}
	choose := func(only string) []report.Group {
		t.Helper()
		chosen, err := report.Choose(all, only, []string{"a"})
		if err != nil {
			t.Fatal(err)
		}
		return chosen
	}
	if _, err := report.Choose(all, "a,c", nil); err == nil || !strings.Contains(err.Error(), "c") || !strings.Contains(err.Error(), "later") {
		t.Errorf("an unknown group: %v", err)
	}
	r := report.New("")
	if err := r.Measure(ctx, "test", 0, choose("b,a"), sub); !errors.Is(err, failed) || !strings.Contains(err.Error(), "b") {
		t.Errorf("got %v", err)
	}
	if err := r.Measure(ctx, "test", 0, choose("a,late,later"), sub); err != nil {
		t.Error(err)
	}
	if want := []string{"a", "b", "a", "late"}; !slices.Equal(ran, want) {
		t.Errorf("ran %v, want %v", ran, want)
	}
	var text strings.Builder
	if err := r.Text(&text); err != nil || !strings.Contains(text.String(), "later was not measured") || !strings.Contains(text.String(), "late was not measured to its end") {
		t.Errorf("%v:\n%s", err, &text)
	}
	if left, _ := os.ReadDir(work); len(left) > 0 {
		t.Errorf("%d directories are left", len(left))
	}
	if chosen := choose(""); len(chosen) != 1 || chosen[0].Name != "a" {
		t.Errorf("by default %d groups", len(chosen))
	}
}
