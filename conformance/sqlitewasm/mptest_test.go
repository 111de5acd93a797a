package sqlitewasm_test

import (
	"regexp"
	"strconv"
	"testing"
)

var summary = regexp.MustCompile(`(?m)^Summary: (\d+) errors out of (\d+) tests`)

// TestMptest has several instances write to one database. What they check of each other breaks
// within seconds when a lock does not hold.
func TestMptest(t *testing.T) {
	p := load(t, "mptest")
	type test struct {
		script, journal string
		replicated      bool
		checks          int // at least
	}
	tests := []test{
		{"config01.test", "delete", false, 100},
		{"config01.test", "delete", true, 100},
		{"crash01.test", "delete", false, 50},
		{"crash01.test", "truncate", true, 50},
		{"crash01.test", "persist", true, 50},
		{"multiwrite01.test", "persist", true, 50},
	}
	if !testing.Short() {
		tests = append(tests, test{"config02.test", "delete", true, 500}) // all of the above in many ways
	}
	for _, c := range tests {
		name := c.script + "/" + c.journal
		if c.replicated {
			name += "/replicated"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, c.replicated)
			text, err := p.Run("mptest", h.db, c.script, "--vfs", h.name, "--journalmode", c.journal)
			m := summary.FindStringSubmatch(text)
			if err != nil || m == nil || m[1] != "0" {
				t.Fatalf("%v\n%s", err, text)
			}
			if n, _ := strconv.Atoi(m[2]); n < c.checks {
				t.Errorf("%d checks, at least %d are wanted\n%s", n, c.checks, text)
			}
			t.Log(m[0])
			h.judge(t)
		})
	}
}
