package main

import (
	"os"
	"strings"
	"testing"
)

const passed = `
State-vector 88 byte, depth reached 1771, errors: 0
   235241 states, stored
  254.734	total actual memory usage
pan: elapsed time 2.88 seconds
`

const violated = `
pan:1: assertion violated (a==b) (at depth 186)
State-vector 88 byte, depth reached 921, errors: 1
    68625 states, stored
  135.025	total actual memory usage
pan: elapsed time 0.82 seconds
`

func TestJudge(t *testing.T) {
	sound, mutation := check{}, check{mutation: "X"}
	for _, test := range []struct {
		name string
		out  string
		c    check
		want string // start of the verdict
	}{
		{"sound and passed", passed, sound, ""},
		{"mutated and violated", violated, mutation, ""},
		{"sound and violated", violated, sound, "VIOLATED: assertion violated (a==b)"},
		{"mutated and passed", passed, mutation, "NOT CAUGHT"},
		{"deadlock", strings.Replace(violated, "assertion violated (a==b)", "invalid end state", 1), sound, "VIOLATED: invalid end state"},
		{"tolerated and passed", passed, check{mutation: "X", tolerated: true}, ""},
		{"tolerated and violated", violated, check{mutation: "X", tolerated: true}, "VIOLATED"},
		{"cut off", "error: max search depth too small\n" + passed, sound, "FAILED"},
		{"out of memory", "pan: out of memory\n" + passed, sound, "FAILED"},
		{"nothing", "", sound, "FAILED"},
		{"nothing of a mutation", "", mutation, "FAILED"},
	} {
		if got := parse(test.out).judge(test.c); !strings.HasPrefix(got, test.want) || test.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// A mutation that the model does not have would change nothing.
func TestChecksAreOfTheModel(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		for _, d := range c.defines() {
			name, _, _ := strings.Cut(d, "=")
			if !strings.Contains(string(model), "def "+name+"\n") && !strings.Contains(string(model), "def "+name+"\t") &&
				!strings.Contains(string(model), "defined("+name+")") && !strings.Contains(string(model), "#if "+name+" ") {
				t.Errorf("%s: the model has no %s", c.name, name)
			}
		}
		if c.mutation != "" && !strings.Contains(string(readme), "`"+c.mutation+"`") {
			t.Errorf("README.md does not explain %s", c.mutation)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, args := range [][]string{nil, {"-run", "("}, {"-what"}} {
		var out, errs strings.Builder
		if code := run(args, &out, &errs); code != 2 || errs.Len() == 0 {
			t.Errorf("run(%q) = %d, %q; want 2 and a reason", args, code, errs.String())
		}
	}
}
