package workload_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/conformance/bench-peers/workload"
)

func TestArgs(t *testing.T) {
	for _, a := range []workload.Args{
		{DB: "/a b/t.db", Journal: "DELETE", Sync: "FULL", Page: 4096, Mode: "insert", N: 10, Rate: 0.5},
		{DB: "x", Journal: "WAL", Sync: "NORMAL", Page: 65536, Mode: "idle", N: 3},
	} {
		got, err := workload.Parse(a.List())
		if err != nil || got != a {
			t.Errorf("%+v became %+v, %v", a, got, err)
		}
	}
	for _, args := range []string{"", "db DELETE FULL 4096 insert 1", "db DELETE FULL 4k insert 1 0", "db DELETE FULL 4096 insert x 0", "db DELETE FULL 4096 insert 1 y"} {
		if a, err := workload.Parse(strings.Fields(args)); err == nil {
			t.Errorf("%q is %+v", args, a)
		}
	}
}

func TestSummarize(t *testing.T) {
	var ds []time.Duration
	for i := range 200 {
		ds = append(ds, time.Duration(200-i)*time.Microsecond)
	}
	got := workload.Summarize(ds, 2*time.Second, "3")
	want := workload.Result{N: 200, Seconds: 2, Mean: 100.5, P50: 101, P99: 199, Max: 200, SQLite: "3"}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := workload.Summarize(nil, time.Second, ""); got != (workload.Result{Seconds: 1}) {
		t.Errorf("nothing took %+v", got)
	}
}

// The program in C does the same as those in Go.
func TestSameStatementsInC(t *testing.T) {
	source, err := os.ReadFile("../stock/workload.c")
	if err != nil {
		t.Fatal(err)
	}
	macro := regexp.MustCompile(`(?s)#define TEXT \\\n(.*?)\n\n`).FindStringSubmatch(string(source))
	if macro == nil {
		t.Fatal("the program in C has no text")
	}
	joined := strings.ReplaceAll(string(source), " TEXT ", strings.ReplaceAll(macro[1], "\\\n", "\n"))
	joined = regexp.MustCompile(`"\s*"`).ReplaceAllString(joined, "")
	joined = strings.ReplaceAll(joined, `\"`, `"`)
	squeeze := func(s string) string { return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "; ", ";") }
	for _, text := range []string{
		workload.Schema, workload.Fill, workload.FillText, workload.Insert, workload.Append, workload.Edit, workload.Update, workload.Reindex, workload.Point, workload.Scan,
	} {
		if !strings.Contains(squeeze(joined), squeeze(text)) {
			t.Errorf("the program in C lacks\n%s", squeeze(text))
		}
	}
}
