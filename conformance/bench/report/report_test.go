package report_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/conformance/bench/report"
)

func TestSample(t *testing.T) {
	tests := []struct {
		s      report.Sample
		median float64
		text   string
	}{
		{nil, 0, "-"},
		{report.Sample{7}, 7, "7"},
		{report.Sample{3, 1, 2}, 2, "2 [1..3]"},
		{report.Sample{4, 1, 3, 2}, 2.5, "2.5 [1..4]"},
		{report.Sample{12345.6, 0.012345, 99}, 99, "99 [0.0123..12346]"},
		{report.Sample{-5, -2000, -1}, -5, "-5 [-2000..-1]"},
	}
	for _, c := range tests {
		before := slices.Clone(c.s)
		if got := c.s.Median(); got != c.median {
			t.Errorf("median of %v is %v, want %v", []float64(c.s), got, c.median)
		}
		if got := c.s.String(); got != c.text {
			t.Errorf("%v is %q, want %q", []float64(c.s), got, c.text)
		}
		if !slices.Equal(before, c.s) {
			t.Errorf("%v became %v", before, c.s)
		}
	}
}

func TestRoundByRound(t *testing.T) {
	a, b := report.Sample{10, 9, 8}, report.Sample{5, 3, 0, 1}
	// A round without a base has no ratio, and a median of ratios is not the ratio of medians.
	if got, want := a.Ratio(b), (report.Sample{2, 3}); !slices.Equal(got, want) {
		t.Errorf("ratio is %v, want %v", got, want)
	}
	if got, want := a.Minus(b), (report.Sample{5, 6, 8}); !slices.Equal(got, want) {
		t.Errorf("difference is %v, want %v", got, want)
	}
}

func TestQuantile(t *testing.T) {
	var ds []time.Duration
	for i := range 100 {
		ds = append(ds, time.Duration(100-i)*time.Microsecond)
	}
	for q, want := range map[float64]float64{0: 1, 0.5: 51, 0.99: 100, 1: 100} {
		if got := report.Quantile(ds, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := report.Mean(ds); got != 50.5 {
		t.Errorf("mean is %v, want 50.5", got)
	}
	if report.Quantile(nil, 0.5) != 0 || report.Mean(nil) != 0 {
		t.Error("nothing has a quantile or a mean")
	}
}

func TestLimit(t *testing.T) {
	tests := []struct {
		l  report.Limit
		ok bool
	}{
		{report.Limit{Measured: report.Sample{1, 1.02, 9}, Limit: 1.03}, true},
		{report.Limit{Measured: report.Sample{1, 1.04, 9}, Limit: 1.03}, false},
		{report.Limit{Measured: report.Sample{100}, Limit: 100, AtLeast: true}, true},
		{report.Limit{Measured: report.Sample{99}, Limit: 100, AtLeast: true}, false},
		{report.Limit{Limit: 1}, false}, // what was not measured is not kept
	}
	for _, c := range tests {
		if c.l.OK() != c.ok {
			t.Errorf("%+v: %v, want %v", c.l, c.l.OK(), c.ok)
		}
		r := report.New("t")
		r.Must(c.l)
		if r.OK() != c.ok || strings.Contains(c.l.String(), "NOT MET") == c.ok {
			t.Errorf("%+v: the report says otherwise", c.l)
		}
	}
}

func TestReport(t *testing.T) {
	plain := report.Row{Group: "small", What: "p50", Engine: "plain", PageSize: 4096, Journal: "DELETE", Sync: "FULL", Size: 10e6, Figure: report.Sample{10, 20}, Unit: "µs"}
	ours := plain
	ours.Engine, ours.Figure = "boule", report.Sample{11, 24}
	r := report.New("test")
	r.Add(plain, ours.Over(plain))
	r.Must(report.Limit{What: "small", Measured: r.Rows[1].Ratio, Limit: 1.25, Unit: "x"})
	r.Note("nothing of %s", "X")
	var text bytes.Buffer
	if err := r.Text(&text); err != nil {
		t.Fatal(err)
	}
	squeezed := strings.Join(strings.Fields(text.String()), " ")
	for _, want := range []string{
		"small p50 plain 4096 DELETE FULL 10 MB 15 [10..20] µs",
		"small p50 boule 4096 DELETE FULL 10 MB 17.5 [11..24] µs 1.15 [1.1..1.2] plain",
		"small at most 1.25 x 1.15 [1.1..1.2] ok",
		"note: nothing of X",
	} {
		if !strings.Contains(squeezed, want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	var out bytes.Buffer
	if err := r.JSON(&out); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Rows []struct {
			Engine string
			Ratio  struct {
				Median float64
				Rounds []float64
			}
		}
	}
	if err := json.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Rows) != 2 || back.Rows[1].Engine != "boule" || len(back.Rows[1].Ratio.Rounds) != 2 {
		t.Errorf("JSON is\n%s", out.String())
	}
}
