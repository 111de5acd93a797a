package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// A Sample holds one figure of each round.
type Sample []float64

func (s Sample) sorted() Sample {
	c := slices.Clone(s)
	slices.Sort(c)
	return c
}

// Median is the middle of the sample; zero if that is empty.
func (s Sample) Median() float64 {
	c := s.sorted()
	if len(c) == 0 {
		return 0
	}
	return (c[(len(c)-1)/2] + c[len(c)/2]) / 2
}

// Min is the least; zero if the sample is empty.
func (s Sample) Min() float64 {
	if len(s) == 0 {
		return 0
	}
	return slices.Min(s)
}

// Max is the greatest; zero if the sample is empty.
func (s Sample) Max() float64 {
	if len(s) == 0 {
		return 0
	}
	return slices.Max(s)
}

// String is the median and, in brackets, the least and the greatest.
func (s Sample) String() string {
	switch len(s) {
	case 0:
		return "-"
	case 1:
		return short(s[0])
	}
	return fmt.Sprintf("%s [%s..%s]", short(s.Median()), short(s.Min()), short(s.Max()))
}

// short has three digits, or all of those before the point.
func short(f float64) string {
	if f >= 1000 || f <= -1000 {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.3g", f)
}

// Ratio is s over base, round by round. Rounds in which base is nothing are left out.
func (s Sample) Ratio(base Sample) Sample {
	r := make(Sample, 0, len(s))
	for i := range min(len(s), len(base)) {
		if base[i] != 0 {
			r = append(r, s[i]/base[i])
		}
	}
	return r
}

// Minus is s less base, round by round.
func (s Sample) Minus(base Sample) Sample {
	r := make(Sample, min(len(s), len(base)))
	for i := range r {
		r[i] = s[i] - base[i]
	}
	return r
}

// MarshalJSON writes the three figures and all that they were made of.
func (s Sample) MarshalJSON() ([]byte, error) {
	if len(s) == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(map[string]any{"median": s.Median(), "min": s.Min(), "max": s.Max(), "rounds": []float64(s)})
}

// Quantile is the quantile q of some times, in microseconds. It sorts ds.
func Quantile(ds []time.Duration, q float64) float64 {
	if len(ds) == 0 {
		return 0
	}
	slices.SortFunc(ds, cmp.Compare[time.Duration])
	return micro(ds[min(int(q*float64(len(ds))), len(ds)-1)])
}

// Mean is the mean of some times, in microseconds.
func Mean(ds []time.Duration) float64 {
	var sum time.Duration
	for _, d := range ds {
		sum += d
	}
	return micro(sum) / float64(max(len(ds), 1))
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
