package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A mutant is a change of the code that a test must notice.
type mutant struct {
	id    string // of the invariant or weakness, or a name for what is broken; with a suffix if there are several
	what  string // it does
	edits []edit
	pkg   string // of the test, below the module
	test  string // its name
	quick bool
}

// An edit replaces what is found exactly once in a file.
type edit struct{ file, old, new string }

var (
	errSurvived = errors.New("the test passes")
	errTable    = errors.New("wrong in the table")
)

// mutate returns the files that the mutant changes, changed.
func (m mutant) mutate(root string) (map[string]string, error) {
	files := map[string]string{}
	for _, e := range m.edits {
		text, ok := files[e.file]
		if !ok {
			data, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return nil, fmt.Errorf("mutate: %w", err)
			}
			text = string(data)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%w: %s: in %s %d times, want once: %q", errTable, m.id, e.file, n, e.old)
		}
		files[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return files, nil
}

// passes fails if the test of a mutant does with the code as it is.
func passes(ctx context.Context, root string, m mutant) error {
	out, err := test(ctx, root, m, "")
	switch {
	case err != nil:
		return fmt.Errorf("%s fails without a mutant: %w\n%s", m.test, err, out)
	case strings.Contains(out, "no tests to run"):
		return fmt.Errorf("%w: there is no test %s in %s", errTable, m.test, m.pkg)
	}
	return nil
}

// try returns nil if the mutant is caught, and errSurvived if it is not.
func try(ctx context.Context, root string, m mutant) error {
	files, err := m.mutate(root)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return fmt.Errorf("try: %w", err)
	}
	defer os.RemoveAll(dir)
	overlay, err := writeOverlay(root, dir, files)
	if err != nil {
		return fmt.Errorf("try: %w", err)
	}
	out, err := test(ctx, root, m, overlay)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
		return errSurvived
	case !caught(out):
		return fmt.Errorf("%w: %w\n%s", errTable, err, out)
	}
	return nil
}

// caught says that a test ran and failed, which it did not if it was not compiled.
func caught(out string) bool {
	return !strings.Contains(out, "[build failed]") && !strings.Contains(out, "[setup failed]") &&
		(strings.Contains(out, "--- FAIL: ") || strings.Contains(out, "\npanic: ") || strings.HasPrefix(out, "panic: "))
}

// writeOverlay writes the files and what tells the go command to read them instead of those of the module.
func writeOverlay(root, dir string, files map[string]string) (string, error) {
	replace := map[string]string{}
	for name, text := range files {
		from, err := filepath.Abs(filepath.Join(root, name))
		if err != nil {
			return "", err
		}
		to := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[from] = to
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, data, 0o600)
}

// test runs the test of a mutant. By way of the environment the overlay also holds for go commands that
// the test itself runs.
func test(ctx context.Context, root string, m mutant, overlay string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^"+m.test+"$", "-timeout", "5m", "./"+m.pkg)
	cmd.Dir = root
	// The same runs with and without the mutant, and nothing left behind by those that fail.
	cmd.Env = append(os.Environ(), "RAPID_SEED=1", "RAPID_NOFAILFILE=true")
	if overlay != "" {
		// The program of a test that only runs others may be the same as without the mutant.
		cmd.Args = append(cmd.Args, "-count=1")
		cmd.Env = append(cmd.Env, "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+overlay))
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}
