package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
)

//go:embed spool.pml
var model []byte

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run returns the exit code: 1 if a run did not end as it should, 2 if it could not be had.
func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("promela", flag.ContinueOnError)
	flags.SetOutput(stderr)
	pattern := flags.String("run", "", "only runs whose name matches the regular expression")
	full := flags.Bool("full", false, "the large runs, too")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	match, err := regexp.Compile(*pattern)
	if err != nil {
		fmt.Fprintln(stderr, "promela:", err)
		return 2
	}
	for _, need := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(need); err != nil {
			fmt.Fprintf(stderr, "promela: %v (Debian package %s)\n", err, need)
			return 2
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	code, tried := 0, 0
	for _, c := range checks {
		if !match.MatchString(c.name) || c.large && !*full {
			continue
		}
		tried++
		r, err := verify(ctx, c)
		if err != nil {
			fmt.Fprintf(stderr, "promela: %s: %v\n", c.name, err)
			return 2
		}
		verdict := r.judge(c)
		switch {
		case verdict != "":
			code = 1
		case c.tolerated:
			verdict = "tolerated, all states seen"
		case c.mutation != "":
			verdict = "caught: " + r.violation
		default:
			verdict = "holds, all states seen"
		}
		fmt.Fprintf(stdout, "%-16s %s\n%16s %s states, %s MB, %s s; %s\n", c.name, verdict, "", r.states, r.memory, r.seconds, strings.Join(c.defines(), " "))
	}
	if tried == 0 {
		fmt.Fprintln(stderr, "promela: no such run")
		return 2
	}
	return code
}

// A result is what the verifier printed.
type result struct {
	errors, states, memory, seconds string
	violation                       string
	cut                             bool // the search was not complete
}

// judge says what is wrong, if anything.
func (r *result) judge(c check) string {
	switch {
	case r.errors == "" || r.states == "":
		return "FAILED: the verifier did not come to an end"
	case c.fails() && r.violation == "":
		return "NOT CAUGHT"
	case !c.fails() && r.errors != "0":
		return "VIOLATED: " + r.violation
	case !c.fails() && r.cut:
		return "FAILED: the search was cut off"
	}
	return ""
}

// verify makes a verifier of the model, in a directory of its own, and runs it.
func verify(ctx context.Context, c check) (*result, error) {
	dir, err := os.MkdirTemp("", "promela")
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "spool.pml"), model, 0o600); err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	command := func(name string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	var defines []string
	for _, d := range c.defines() {
		defines = append(defines, "-D"+d)
	}
	if out, err := command("spin", append(append([]string{"-a"}, defines...), "spool.pml")...); err != nil {
		return nil, fmt.Errorf("spin: %w\n%s", err, out)
	}
	if out, err := command("gcc", "-O2", "-DSAFETY", "-DCOLLAPSE", "-DMEMLIM=8000", "-o", "pan", "pan.c"); err != nil {
		return nil, fmt.Errorf("gcc: %w\n%s", err, out)
	}
	depth := "-m1000000"
	if c.fails() {
		depth = "-m20000" // so that the trail is short
	}
	out, err := command("./pan", depth, "-w24")
	if err != nil && !strings.Contains(out, "errors: ") {
		return nil, fmt.Errorf("pan: %w\n%s", err, out)
	}
	return parse(out), nil
}

var figures = map[string]*regexp.Regexp{
	"errors":    regexp.MustCompile(`errors: (\d+)`),
	"states":    regexp.MustCompile(`(?m)^\s*(\S+) states, stored`),
	"memory":    regexp.MustCompile(`(?m)^\s*(\S+)\s+total actual memory usage`),
	"seconds":   regexp.MustCompile(`elapsed time (\S+) seconds`),
	"violation": regexp.MustCompile(`(?m)^pan:\d+: (assertion violated .*|invalid end state.*)$`),
}

func parse(out string) *result {
	get := func(name string) string {
		if m := figures[name].FindStringSubmatch(out); m != nil {
			return m[1]
		}
		return ""
	}
	return &result{
		errors: get("errors"), states: get("states"), memory: get("memory"), seconds: get("seconds"),
		violation: get("violation"),
		cut:       strings.Contains(out, "max search depth too small") || strings.Contains(out, "Search not completed") || strings.Contains(out, "out of memory"),
	}
}
