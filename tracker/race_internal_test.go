package tracker

import (
	"testing"
	"time"
)

// Writers have to wait somewhat longer for a deferred snapshot that takes long, and have less time in between if it would not end otherwise.
func TestRace(t *testing.T) {
	d := &database{m: &Manager{opts: Options{Patience: 5 * time.Millisecond, Pause: 20 * time.Millisecond}}}
	laps := func(n int, left func(i int) int) (patience, pause time.Duration) {
		for i := range n {
			d.race.lap(left(i))
		}
		return d.patience(), d.pause()
	}
	const ms = time.Millisecond
	for _, c := range []struct {
		what  string
		n     int
		left  func(i int) int
		want  time.Duration // of patience
		pause time.Duration
	}{
		{"it is short", politeLaps - 1, func(i int) int { return 11_000 - i }, 5 * ms, 20 * ms},
		{"it takes long", 1, func(int) int { return 10_800 }, 10 * ms, 20 * ms},
		{"it gets on", 100, func(i int) int { return 10_000 - i }, 20 * ms, 20 * ms},
		{"now and then", 100, func(i int) int { return 9000 - i/maxVain }, 20 * ms, 20 * ms},
		{"it does not", maxVain + 1, func(int) int { return 5000 }, 20 * ms, 20 * ms},
		{"for long", 1, func(int) int { return 5000 }, 20 * ms, 5 * ms},
		{"and does not", maxVain + 1, func(int) int { return 5000 }, 20 * ms, 5 * ms / 4},
		{"it does", 100, func(i int) int { return 4000 - i }, 20 * ms, 5 * ms / 4},
		{"no pause is left", maxVain + 1, func(int) int { return 4000 }, 20 * ms, 5 * ms / 16},
		{"it gets on so", 100, func(i int) int { return 3800 - i }, 20 * ms, 5 * ms / 16},
		{"and does not even so", maxVain + 1, func(int) int { return 3800 }, 40 * ms, 5 * ms / 16},
		{"there is an end", 1000, func(int) int { return 3800 }, 80 * ms, 5 * ms / 16},
	} {
		if got, pause := laps(c.n, c.left); got != c.want || pause != c.pause {
			t.Errorf("%s: patience is %v, want %v; pauses are %v, want %v", c.what, got, c.want, pause, c.pause)
		}
	}
	d.losses = maxLosses
	if got := d.patience(); got != 5*ms<<maxLosses {
		t.Errorf("with losses: got %v", got)
	}
}
