package main

import (
	"testing"
	"time"
)

func TestParseAge(t *testing.T) {
	const day = 24 * time.Hour
	for s, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "12h": 12 * time.Hour, "30d": 30 * day, "6w": 42 * day, "3m": 90 * day, "1y6m": 545 * day,
		"": 0, "0d": 0, "d": 0, "5": 0, "5x": 0, "-5d": 0, "1.5d": 0, "5d ": 0, "99999999999d": 0, "300y": 0,
	} {
		if got, err := parseAge(s); got != want && err == nil || (err == nil) != (want > 0) {
			t.Errorf("%q: got %v, %v; want %v", s, got, err, want)
		}
	}
}

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	local := func(text string) time.Time {
		at, err := time.ParseInLocation(time.DateTime, text, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for s, want := range map[string]time.Time{
		"2026-11-26T11:00:00Z":      now.Add(-time.Hour),
		"2026-11-26T11:00:00+01:00": now.Add(-2 * time.Hour),
		"2026-11-26 11:00:00":       local("2026-11-26 11:00:00"),
		"2026-11-26 11:00":          local("2026-11-26 11:00:00"),
		"2026-11-26":                local("2026-11-26 00:00:00"),
		"-5m":                       now.Add(-5 * time.Minute),
		"-2d":                       now.Add(-48 * time.Hour),
		"-1w12h":                    now.Add(-180 * time.Hour),
		"now":                       now,
		"-1d5m":                     {}, "-": {},
		"": {}, "yesterday": {}, "5m": {}, "--5m": {}, "2026-13-01": {},
	} {
		got, err := parseTime(s, now)
		if !got.Equal(want) || (err == nil) == want.IsZero() {
			t.Errorf("%q: got %v, %v; want %v", s, got, err, want)
		}
	}
}

func TestRuns(t *testing.T) {
	for want, numbers := range map[string][]uint64{
		"": nil, "7": {7}, "1-3": {1, 2, 3}, "1, 3-4, 9": {1, 3, 4, 9}, "5-6": {5, 6},
	} {
		if got := runs(numbers); got != want {
			t.Errorf("%v: got %q, want %q", numbers, got, want)
		}
	}
}
