package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run returns the exit code: 1 if a mutant was not caught, 2 if it could not be tried.
func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	flags.SetOutput(stderr)
	pattern := flags.String("run", "", "only mutants whose id matches the regular expression")
	quick := flags.Bool("quick", false, "only the mutants that continuous integration runs")
	markdown := flags.Bool("markdown", false, "print the table of spool/SPOOL.md, run nothing")
	list := flags.Bool("list", false, "list the mutants, run nothing")
	root := flags.String("root", ".", "directory of the module")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *markdown {
		fmt.Fprint(stdout, document())
		return 0
	}
	match, err := regexp.Compile(*pattern)
	if err != nil {
		fmt.Fprintln(stderr, "mutants:", err)
		return 2
	}
	var chosen []mutant
	for _, m := range mutants {
		if match.MatchString(m.id) && (m.quick || !*quick) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		fmt.Fprintln(stderr, "mutants: none of them")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *list {
		return table(stdout, stderr, chosen, nil)
	}
	sound := map[string]error{} // by test
	return table(stdout, stderr, chosen, func(m mutant) error {
		name := m.pkg + "." + m.test
		if _, ok := sound[name]; !ok {
			sound[name] = passes(ctx, *root, m)
		}
		if sound[name] != nil {
			return sound[name]
		}
		return try(ctx, *root, m)
	})
}

// table prints a line for each mutant, and what came of trying it.
func table(w, stderr io.Writer, all []mutant, try func(mutant) error) int {
	code := 0
	lines := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, m := range all {
		verdict := "-"
		start := time.Now()
		if try != nil {
			switch err := try(m); {
			case err == nil:
				verdict = "caught"
			case errors.Is(err, errSurvived):
				verdict, code = "SURVIVED", max(code, 1)
			default:
				verdict, code = "ERROR", 2
				fmt.Fprintf(stderr, "mutants: %s: %v\n", m.id, err)
			}
			verdict += fmt.Sprintf("\t%.1fs", time.Since(start).Seconds())
		}
		fmt.Fprintf(lines, "%s\t%s\t%s.%s\t%s\n", m.id, verdict, m.pkg, m.test, m.what)
		if try != nil {
			_ = lines.Flush() // each as it comes: they take minutes
		}
	}
	_ = lines.Flush()
	return code
}

// document returns the table of spool/SPOOL.md.
func document() string {
	var b strings.Builder
	b.WriteString("| | Test that holds it | Mutation that breaks it |\n|---|---|---|\n")
	for _, m := range mutants {
		test := m.test
		if m.pkg != "" {
			test = m.pkg + "." + m.test
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", m.id, test, m.what)
	}
	return b.String()
}
