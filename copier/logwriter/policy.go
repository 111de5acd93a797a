package logwriter

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// A Policy says which recovery points to keep, in restic's words: an entry is kept if any of the fields says so. Negative numbers
// keep all of their kind. The newest entry is always kept; the zero Policy keeps everything.
type Policy struct {
	Last   int           // so many of the newest
	Within time.Duration // all that are younger than that, counted back from the newest
	// The newest one of every hour (day, week from Monday on, month, year) that has any, for so many of
	// them, counted back from the newest. By UTC.
	Hourly, Daily, Weekly, Monthly, Yearly int
}

// IsZero says that the policy keeps everything.
func (p Policy) IsZero() bool { return p == Policy{} }

// A Point is an entry, for a Policy to decide about.
type Point struct {
	Entry uint64
	Time  time.Time
}

// A Kept is a Point that is kept, and why: "last", "within", "hourly", "daily", "weekly", "monthly", "yearly", "newest", or
// "all" by the zero Policy.
type Kept struct {
	Point
	Reasons []string
}

// A period is one kind of bucket: each keeps the newest point in it.
type period struct {
	name string
	left int // buckets; negative: any number
	key  func(t time.Time, entry uint64) string
	last string
}

// Apply returns the points that are kept, the newest first, and the others. Points are ordered by their numbers.
func (p Policy) Apply(points []Point) (kept []Kept, others []Point) {
	points = slices.Clone(points)
	slices.SortFunc(points, func(x, y Point) int { return cmp.Compare(y.Entry, x.Entry) })
	week := func(t time.Time, _ uint64) string {
		year, week := t.ISOWeek()
		return fmt.Sprintf("%d-%d", year, week)
	}
	format := func(layout string) func(time.Time, uint64) string {
		return func(t time.Time, _ uint64) string { return t.Format(layout) }
	}
	periods := []*period{
		{name: "last", left: p.Last, key: func(_ time.Time, entry uint64) string { return fmt.Sprint(entry) }},
		{name: "hourly", left: p.Hourly, key: format("2006-01-02 15")},
		{name: "daily", left: p.Daily, key: format("2006-01-02")},
		{name: "weekly", left: p.Weekly, key: week},
		{name: "monthly", left: p.Monthly, key: format("2006-01")},
		{name: "yearly", left: p.Yearly, key: format("2006")},
	}
	for i, point := range points {
		var reasons []string
		if p.Within != 0 && (p.Within < 0 || points[0].Time.Sub(point.Time) < p.Within) {
			reasons = append(reasons, "within")
		}
		for _, b := range periods {
			key := b.key(point.Time.UTC(), point.Entry)
			if b.left == 0 || key == b.last {
				continue
			}
			b.last = key
			b.left = max(b.left-1, -1)
			reasons = append(reasons, b.name)
		}
		switch {
		case p.IsZero():
			reasons = []string{"all"}
		case i == 0 && len(reasons) == 0:
			reasons = []string{"newest"}
		}
		if len(reasons) > 0 {
			kept = append(kept, Kept{point, reasons})
		} else {
			others = append(others, point)
		}
	}
	return kept, others
}
