//go:build linux || darwin || freebsd

package model

import (
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// A plan is all that a run depends on. Whatever numbers its steps have, they mean something in
// every state, so that what is left of a plan when steps are taken out is a plan as well.
type plan struct {
	seed       uint64 // of names, and of other randomness that nobody should depend on
	procs      int
	conns      int // of each process
	targets    int
	tick       time.Duration // of the clock of the disk, as processes see it; zero is fine
	background bool          // copiers start passes by themselves, as programs let them
	coalesce   bool          // snapshots in a burst of transactions are put off
	deferred   bool          // all but the smallest snapshots are left to visits, which give way now and then
	overrides  int           // that a manifest may have; zero for the default, which no database here reaches
	spaced     bool          // uploads of manifests keep their distance in time
	steps      []step
}

// A step is a choice of the scheduler.
type step struct {
	verb    verb
	a, b, c int
}

type verb uint8

const (
	act       verb = iota // a writer or copier (a) goes on until (b), with the transaction (c) if it needs one
	goOn                  // whoever is about to do something (a) goes on until (b)
	write                 // a connection (a) begins a transaction (c)
	visit                 // evaluate, in a process (a)
	flush                 // in a process (a), a target (b)
	foreign               // a stranger begins a transaction (c)
	rollBack              // a connection (a) begins a transaction (c) that it undoes
	exclusive             // or several, in locking_mode=EXCLUSIVE
	read                  // or only reads
	closing               // or closes
	kill                  // a process (a)
	killAt                // the process of an actor (a), where it stands
	reboot                // with an image (a, b, c)
	fault                 // the next operation of an actor (a) fails (b)
	late                  // a put (a) whose sender has gone is carried out
	wait                  // let time (b) pass
	verbs
)

var verbNames = [verbs]string{
	"act", "go", "write", "visit", "flush", "foreign", "rollback", "exclusive", "read", "close", "kill",
	"killat", "reboot", "fault", "late", "wait",
}

func (v verb) String() string { return verbNames[v] }

// An until says where an actor stops. Those that are a class stand for the next operation of it.
type until int

// end stands for: when it is done, or has to wait.
const end = private

const (
	operations = until(classes) + iota // after as many operations as the step says (c)
	visible                            // after as many, before one that others can notice
	conflict                           // before one of the class that another actor is about to do
	untils
)

func (s step) String() string { return fmt.Sprintf("%s(%d,%d,%d)", s.verb, s.a, s.b, s.c) }

const planFormat = "seed %v, %v processes with %v connections, %v targets, clock of %v ms, background %v, coalesce %v, deferred %v, overrides %v, spaced %v"

// String writes the plan as it can be found in the output of a failure.
func (p *plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, planFormat+":", p.seed, p.procs, p.conns, p.targets, p.tick.Milliseconds(), p.background, p.coalesce, p.deferred, p.overrides, p.spaced)
	for _, s := range p.steps {
		fmt.Fprintf(&b, " %v", s)
	}
	return b.String()
}

// A mix says how often each verb is chosen, and how many actors there are.
type mix struct {
	name     string
	procs    int // at most
	conns    int
	targets  int
	patterns int // for each of these there are as many of single steps
	steps    int
	weights  map[verb]int
}

var mixes = []mix{
	{"protocol", 2, 1, 1, 3, 1, map[verb]int{act: 8, goOn: 2, flush: 1, wait: 1}},
	{"faults", 3, 1, 1, 1, 3, map[verb]int{
		act: 12, goOn: 6, visit: 1, flush: 1, killAt: 2, kill: 1, fault: 4, late: 2, wait: 1,
	}},
	{"everything", 3, 2, 2, 1, 5, map[verb]int{
		act: 10, goOn: 10, write: 1, visit: 2, flush: 1, foreign: 4, rollBack: 2, exclusive: 2, read: 1,
		closing: 1, kill: 1, killAt: 1, reboot: 1, fault: 2, late: 1, wait: 2,
	}},
}

func (m *mix) verbs() []verb {
	var all []verb
	for v := range verbs {
		for range m.weights[v] {
			all = append(all, v)
		}
	}
	return all
}

// draw draws a plan.
func (m *mix) draw(t *rapid.T) *plan {
	p := &plan{
		seed:       uint64(rapid.IntRange(0, 1<<20).Draw(t, "seed")),
		procs:      m.procs - rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "processes less"),
		conns:      rapid.IntRange(1, m.conns).Draw(t, "connections"),
		targets:    rapid.IntRange(1, m.targets).Draw(t, "targets"),
		tick:       rapid.SampledFrom([]time.Duration{0, 4 * time.Millisecond}).Draw(t, "clock"),
		background: rapid.Bool().Draw(t, "background"),
		coalesce:   m.weights[fault] > 0 && rapid.SampledFrom([]bool{false, false, true}).Draw(t, "coalesce"),
		deferred:   m.weights[fault] > 0 && rapid.SampledFrom([]bool{false, false, true}).Draw(t, "deferred"),
		overrides:  rapid.SampledFrom([]int{0, 1, 2}).Draw(t, "overrides"),
		spaced:     m.weights[reboot] > 0 && rapid.Bool().Draw(t, "spaced"),
	}
	verbs := rapid.SampledFrom(m.verbs())
	who, how, what := rapid.IntRange(0, 15), rapid.IntRange(-int(untils), int(untils)-1), rapid.IntRange(0, 47)
	actions := map[string]func(*rapid.T){}
	for i := range m.steps {
		actions[fmt.Sprint("step", i)] = func(t *rapid.T) {
			s := step{verb: verbs.Draw(t, "verb"), a: who.Draw(t, "a"), b: max(how.Draw(t, "b"), 0), c: what.Draw(t, "c")}
			p.steps = append(p.steps, s)
		}
	}
	for i := range m.patterns {
		actions[fmt.Sprint("pattern", i)] = p.pattern
	}
	t.Repeat(actions)
	return p
}

// pattern draws steps in which a copier is stopped twice, each time while others do something
// that may make what it has seen untrue. Steps drawn one by one would rarely do that.
func (p *plan) pattern(t *rapid.T) {
	writers, copiers := p.procs*p.conns, p.procs*p.targets
	writer := rapid.IntRange(0, writers-1).Draw(t, "writer")
	one := rapid.IntRange(0, copiers-1).Draw(t, "copier")
	looks := rapid.SampledFrom([]class{staged, meta, ready, consuming, staged, meta, ready, consuming, locks, tap, putManifest, stagedChunk})
	moves := rapid.SampledFrom([]class{end, end, end, publish, publish, scratch, staged, stagedChunk, meta})
	takes := rapid.SampledFrom([]class{putChunk, putChunk, batch, putManifest, end})
	txn := rapid.SampledFrom([]int{0, 2, 0, 3, 4, 0, 2, 5, 6, 7, 8, 25, 11, 27, 12, 14})
	some := rapid.SampledFrom([]int{0, 1, 2})
	add := func(who int, u class, n int) { p.steps = append(p.steps, step{act, who, int(u), n}) }
	writes := func(label string) {
		for range some.Draw(t, label) {
			add(writer, end, txn.Draw(t, "transaction"))
		}
	}

	writes("transactions before")
	add(writers+one, looks.Draw(t, "first stop"), 0)
	if n := rapid.IntRange(0, 6).Draw(t, "some way on"); n > 0 {
		p.steps = append(p.steps, step{act, writers + one, int(visible), n})
	}
	writes("transactions at the first stop")
	add(writer, moves.Draw(t, "stop of the writer"), txn.Draw(t, "transaction"))
	add(writers+one, looks.Draw(t, "second stop"), 0)
	if rapid.Bool().Draw(t, "another copier") {
		add(writers+(one+1)%copiers, takes.Draw(t, "its stop"), 0)
	}
	if rapid.Bool().Draw(t, "the writer again") {
		add(writer, moves.Draw(t, "stop of the writer"), txn.Draw(t, "transaction"))
	}
	add(writers+one, end, 0)
}
