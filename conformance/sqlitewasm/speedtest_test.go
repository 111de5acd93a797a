package sqlitewasm_test

import (
	"regexp"
	"testing"
)

// TestSpeedtest1 runs what SQLite measures its speed by, and has it verify what it reads.
// Plain and replicated it must come to the same results.
func TestSpeedtest1(t *testing.T) {
	p := load(t, "speedtest1")
	hash := regexp.MustCompile(`(?m)^Verification Hash: (\d+ [0-9a-f]+)`)
	var first string
	for _, replicated := range []bool{false, true} {
		h := newHarness(t, replicated)
		text, err := p.Run("speedtest1", "--vfs", h.name, "--size", "5", "--verify", "--journal", "truncate", h.db)
		m := hash.FindStringSubmatch(text)
		if err != nil || m == nil {
			t.Fatalf("%v\n%s", err, text)
		}
		t.Log(m[0])
		if first == "" {
			first = m[1]
		}
		if m[1] != first {
			t.Errorf("replicated: %s; plain: %s", m[1], first)
		}
		h.judge(t)
	}
}
