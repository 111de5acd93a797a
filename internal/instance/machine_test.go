package instance

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMachine(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	id, empty, later := file("id", "0123456789abcdef\n"), file("empty", "\n"), file("later", "uninitialized\n")
	for _, c := range []struct {
		name  string
		files []string
		want  string
	}{
		{"the first", []string{id, later}, "0123456789abcdef"},
		{"the first that says something", []string{filepath.Join(dir, "absent"), empty, later, id}, "0123456789abcdef"},
		{"none", []string{empty, later}, Hostname()},
	} {
		if got := machine(c.files); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
