package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/boule-db/boule/conformance/bench/report"
)

// TestMain lets the groups that measure whole processes run this one.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "-child" {
		if err := beChild(os.Args[2], os.Args[3:]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// A quick run measures something of each group, in rows that say with what.
func TestQuick(t *testing.T) {
	*quick, *dir = true, t.TempDir()
	*only = "memory,small,sizes,upload,restore"
	if !testing.Short() {
		*only += ",reads,bulk"
	}
	defer func() { *quick, *dir, *only = false, "", "" }()
	r, err := run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups() {
		measured := slices.ContainsFunc(r.Rows, func(row report.Row) bool { return row.Group == g.name })
		if slices.Contains(strings.Split(*only, ","), g.name) != measured {
			t.Errorf("%s was measured: %v", g.name, measured)
		}
	}
	for _, row := range r.Rows {
		if len(row.Figure) == 0 || row.Unit == "" || row.What == "" {
			t.Errorf("this row says nothing: %+v", row)
		}
		if row.To != "" && len(row.Ratio) == 0 {
			t.Errorf("this row has no ratio: %+v", row)
		}
		if row.Group == "sizes" && (row.PageSize == 0 || row.Journal == "" || row.Sync == "" || row.Size == 0) {
			t.Errorf("this row does not say of what: %+v", row)
		}
	}
	for _, what := range []string{"tracker: look", "tracker: plan", "tracker: chunks", "tracker: manifest", "tracker: publish", "written into the spool per commit"} {
		if !slices.ContainsFunc(r.Rows, func(row report.Row) bool { return row.What == what && row.Figure.Min() > 0 }) {
			t.Errorf("%s: nothing was observed", what)
		}
	}
	if len(r.Limits) == 0 {
		t.Error("no limit was looked at")
	}
}

// An unknown group is an error.
func TestOnlyKnownGroups(t *testing.T) {
	*only = "small,tiny"
	defer func() { *only = "" }()
	if r, err := run(t.Context()); err == nil || r != nil {
		t.Errorf("-only small,tiny: %v, %v", r, err)
	}
}
