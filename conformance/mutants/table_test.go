package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// weaknesses are those of others that the spool is meant not to have, and the durability of the VFS.
var weaknesses = []string{"W2", "W3", "W5", "W9", "W11", "W19", "W20", "W23", "W28", "W29", "W32", "durability"}

func TestEverythingHasAMutant(t *testing.T) {
	want := weaknesses
	for i := 1; i <= 26; i++ {
		want = append(want, fmt.Sprintf("I%d", i))
	}
	seen := map[string]bool{}
	for _, m := range mutants {
		if seen[m.id] {
			t.Errorf("%s is there twice", m.id)
		}
		seen[m.id] = true
	}
	for _, id := range want {
		if !seen[id] {
			t.Errorf("%s has no mutant", id)
		}
	}
}

func TestMutantsCanBeMade(t *testing.T) {
	for _, m := range mutants {
		files, err := m.mutate(root)
		if err != nil {
			t.Error(err)
		}
		for name, text := range files {
			if _, err := parser.ParseFile(token.NewFileSet(), name, text, 0); err != nil {
				t.Errorf("%s: %v", m.id, err)
			}
		}
	}
}

func TestNamedTestsExist(t *testing.T) {
	tests := map[string]map[string]bool{}
	for _, m := range mutants {
		if tests[m.pkg] == nil {
			tests[m.pkg] = testsOf(t, filepath.Join(root, m.pkg))
		}
		if !tests[m.pkg][m.test] {
			t.Errorf("%s: there is no test %s in %q", m.id, m.test, m.pkg)
		}
	}
}

func testsOf(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				found[f.Name.Name] = true
			}
		}
	}
	return found
}

func TestDocumentedTableIsTheOneThatIsRun(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "spool", "SPOOL.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), document()) {
		t.Errorf("spool/SPOOL.md has not the table that go run ./conformance/mutants -markdown prints")
	}
}

func TestCaught(t *testing.T) {
	for _, test := range []struct {
		out  string
		want bool
	}{
		{"--- FAIL: TestX (0.00s)\nFAIL\nFAIL\tpkg\t0.1s\nFAIL\n", true},
		{"panic: test timed out after 5m0s\n", true},
		{"# pkg\nx.go:1:1: undefined: y\nFAIL\tpkg [build failed]\nFAIL\n", false},
		{"FAIL\tpkg [setup failed]\n", false},
		{"go: no such package\n", false},
	} {
		if got := caught(test.out); got != test.want {
			t.Errorf("caught(%q) = %t, want %t", test.out, got, test.want)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	for _, args := range [][]string{{"-run", "("}, {"-run", "no such mutant"}, {"-what"}} {
		var out, errs strings.Builder
		if code := run(args, &out, &errs); code != 2 || errs.Len() == 0 {
			t.Errorf("run(%q) = %d, %q; want 2 and a reason", args, code, errs.String())
		}
	}
}
