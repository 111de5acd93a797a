package copier

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/manifest"
)

// The memory against a list that is searched from end to end.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 7
		m := newMemory(limit, time.Hour)
		r := rand.New(rand.NewPCG(1, 2))
		var model []memoryKey // least recently used first
		for range 5000 {
			key := memoryKey{r.Uint64N(2), manifest.Fingerprint{Lo: r.Uint64N(8)}}
			i := slices.Index(model, key)
			if r.IntN(2) == 0 {
				m.add(key.generation, key.chunk)
				if i < 0 && len(model) == limit {
					model = model[1:]
				}
			} else {
				if got, want := m.has(key.generation, key.chunk), i >= 0; got != want {
					t.Fatalf("has %v: got %v, want %v", key, got, want)
				}
				if i < 0 {
					continue
				}
			}
			if i >= 0 {
				model = slices.Delete(model, i, i+1)
			}
			model = append(model, key)
		}
		if m.expires.Len() != limit {
			t.Errorf("%d are remembered, not %d", m.expires.Len(), limit)
		}

		chunk := manifest.Fingerprint{Hi: 1}
		expiry := make(map[int]bool)
		for range 50 {
			m.add(1, chunk)
			time.Sleep(49 * time.Minute)
			if !m.has(1, chunk) {
				t.Error("forgotten too early")
			}
			for i := range 12 {
				if time.Sleep(time.Minute); !m.has(1, chunk) {
					expiry[i] = true
					break
				}
			}
			if m.has(1, chunk) {
				t.Error("remembered for over an hour")
			}
		}
		if len(expiry) < 3 {
			t.Errorf("no jitter: %v", expiry)
		}
	})
	off := newMemory(0, time.Hour)
	off.add(1, manifest.Fingerprint{})
	if off.has(1, manifest.Fingerprint{}) {
		t.Error("a memory of nothing remembers")
	}
}
