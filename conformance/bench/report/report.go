package report

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
)

// A Row is one figure.
type Row struct {
	Group    string `json:"group"`
	What     string `json:"what"`
	Engine   string `json:"engine,omitempty"`
	PageSize int    `json:"page_size,omitempty"`
	Journal  string `json:"journal_mode,omitempty"`
	Sync     string `json:"synchronous,omitempty"`
	Size     int64  `json:"database_bytes,omitempty"`
	Figure   Sample `json:"figure"`
	Unit     string `json:"unit,omitempty"`
	Ratio    Sample `json:"ratio,omitempty"`
	To       string `json:"ratio_to,omitempty"`
}

// Over adds the ratio to another row of the same run.
func (r Row) Over(base Row) Row {
	r.Ratio, r.To = r.Figure.Ratio(base.Figure), base.Engine
	if r.To == "" || base.Engine == r.Engine {
		r.To = base.What
	}
	return r
}

// A Limit is what the median of some figure must not go past.
type Limit struct {
	What     string  `json:"what"`
	Measured Sample  `json:"measured"`
	Limit    float64 `json:"limit"`
	AtLeast  bool    `json:"at_least,omitempty"` // else at most
	Unit     string  `json:"unit,omitempty"`     // "x" for ratios
}

// OK reports whether the limit is kept.
func (l Limit) OK() bool {
	switch {
	case len(l.Measured) == 0:
		return false
	case l.AtLeast:
		return l.Measured.Median() >= l.Limit
	}
	return l.Measured.Median() <= l.Limit
}

// String is the limit, what was measured, and the verdict.
func (l Limit) String() string {
	bound, verdict := "at most", "NOT MET"
	if l.AtLeast {
		bound = "at least"
	}
	if l.OK() {
		verdict = "ok"
	}
	return fmt.Sprintf("%s\t%s %s %s\t%v\t%s", l.What, bound, short(l.Limit), l.Unit, l.Measured, verdict)
}

// A Report is what one run has measured.
type Report struct {
	Title   string    `json:"title"`
	Date    time.Time `json:"date"`
	Machine string    `json:"machine"`
	Notes   []string  `json:"notes,omitempty"`
	Rows    []Row     `json:"rows"`
	Limits  []Limit   `json:"limits,omitempty"`
}

// New returns an empty report of this machine.
func New(title string) *Report {
	return &Report{
		Title: title, Date: time.Now().Round(0),
		Machine: fmt.Sprintf("%s/%s, %d CPUs, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version()),
	}
}

// Add adds rows.
func (r *Report) Add(rows ...Row) { r.Rows = append(r.Rows, rows...) }

// Must adds limits.
func (r *Report) Must(limits ...Limit) { r.Limits = append(r.Limits, limits...) }

// Note adds a remark: what could not be measured, and why.
func (r *Report) Note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// OK reports whether all limits are kept.
func (r *Report) OK() bool {
	for _, l := range r.Limits {
		if !l.OK() {
			return false
		}
	}
	return true
}

// JSON writes the report for programs.
func (r *Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// columns are those of the table.
var columns = []string{"group", "what", "engine", "page", "journal", "sync", "database", "figure [min..max]", "unit", "ratio [min..max]", "to"}

func (r Row) cells() []string {
	page, size, ratio := "", "", ""
	if r.PageSize > 0 {
		page = fmt.Sprint(r.PageSize)
	}
	if r.Size > 0 {
		size = humanize.Bytes(uint64(r.Size))
	}
	if len(r.Ratio) > 0 {
		ratio = r.Ratio.String()
	}
	return []string{r.Group, r.What, r.Engine, page, r.Journal, r.Sync, size, r.Figure.String(), r.Unit, ratio, r.To}
}

// Text writes the report for people.
func (r *Report) Text(w io.Writer) error {
	t := &writer{tab: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.line("%s, %s, %s", r.Date.Format(time.DateOnly), r.Title, r.Machine)
	t.line("")
	t.line("%s", strings.Join(columns, "\t"))
	for _, row := range r.Rows {
		t.line("%s", strings.Join(row.cells(), "\t"))
	}
	if len(r.Limits) > 0 {
		t.flush() // the columns of what follows have other widths
		t.line("")
		t.line("must show\tlimit\tmedian [min..max]\t")
		for _, l := range r.Limits {
			t.line("%s", l)
		}
	}
	t.flush()
	for _, n := range r.Notes {
		t.line("note: %s", n)
	}
	t.flush()
	return t.err
}

// A writer keeps the first error.
type writer struct {
	tab *tabwriter.Writer
	err error
}

func (w *writer) line(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.tab, format+"\n", args...)
	}
}

func (w *writer) flush() {
	if w.err == nil {
		w.err = w.tab.Flush()
	}
}
