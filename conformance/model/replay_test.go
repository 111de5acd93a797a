//go:build linux || darwin || freebsd

package model

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var givenPlan = flag.String("plan", "seed 1, 2 processes with 1 connections, 1 targets, clock of 0 ms, background true, coalesce false, deferred false, overrides 0, spaced false: "+
	"act(0,0,7) act(2,2,0) act(1,5,3) act(3,0,0) act(2,0,0)", "what TestPlan runs")

// TestPlan runs one plan, and tells all that happens.
func TestPlan(t *testing.T) {
	p, err := parsePlan(*givenPlan)
	if err != nil {
		t.Fatal(err)
	}
	w := play(t, t.TempDir(), p)
	for _, e := range w.trace {
		t.Log(e)
	}
	t.Log(w.count)
	for _, s := range w.problems {
		t.Error(s)
	}
}

// parsePlan reads a plan as String writes it.
func parsePlan(s string) (*plan, error) {
	head, steps, _ := strings.Cut(strings.TrimSpace(s), ":")
	p := &plan{}
	var tick int64
	_, err := fmt.Sscanf(head, planFormat, &p.seed, &p.procs, &p.conns, &p.targets, &tick, &p.background, &p.coalesce, &p.deferred, &p.overrides, &p.spaced)
	p.tick = time.Duration(tick) * time.Millisecond
	if err != nil {
		return nil, fmt.Errorf("plan %q: %w", head, err)
	}
	for f := range strings.FieldsSeq(steps) {
		name, args, _ := strings.Cut(f, "(")
		i := slices.Index(verbNames[:], name)
		if i < 0 {
			return nil, fmt.Errorf("no verb %q", name)
		}
		s := step{verb: verb(i)}
		if _, err := fmt.Sscanf(args, "%d,%d,%d)", &s.a, &s.b, &s.c); err != nil {
			return nil, fmt.Errorf("step %q: %w", f, err)
		}
		p.steps = append(p.steps, s)
	}
	return p, nil
}

// A plan that is run again is the same run, to the last operation, also when it was read back
// from its text.
func TestReplay(t *testing.T) {
	dir := t.TempDir()
	for _, m := range mixes {
		plans := rapid.Custom(m.draw)
		for seed := range 8 {
			p := plans.Example(seed)
			q, err := parsePlan(p.String())
			if err != nil {
				t.Fatal(err)
			}
			first, second := play(t, dir, p), play(t, dir, q)
			for i := range max(len(first.trace), len(second.trace)) {
				if i >= len(first.trace) || i >= len(second.trace) || first.trace[i].raw() != second.trace[i].raw() {
					t.Fatalf("operation %d differs:\n%v\n%v\n%v", i, p, first.trace[i:min(i+3, len(first.trace))],
						second.trace[i:min(i+3, len(second.trace))])
				}
			}
		}
	}
}

// raw is all that is known of the event.
func (e event) raw() string { return fmt.Sprintln(e.who, e.what, e.err) }
