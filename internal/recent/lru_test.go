package recent

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The LRU against a list that is searched from end to end.
func TestLRU(t *testing.T) {
	const most = 7
	type pair struct{ key, value int }
	l := NewLRU[int, int](most)
	rng := rand.New(rand.NewPCG(1, 2))
	var model []pair // least recently used first
	for step := range 5000 {
		key := rng.IntN(12)
		i := slices.IndexFunc(model, func(p pair) bool { return p.key == key })
		switch rng.IntN(3) {
		case 0:
			l.Set(key, step)
			if i >= 0 {
				model = slices.Delete(model, i, i+1)
			} else if len(model) == most {
				model = model[1:]
			}
			model = append(model, pair{key, step})
		case 1:
			l.Use(key)
			if i >= 0 {
				p := model[i]
				model = append(slices.Delete(model, i, i+1), p)
			}
		default:
			if got := l.Peek(key); (got != nil) != (i >= 0) || got != nil && *got != model[i].value {
				t.Fatalf("step %d: key %d: got %v, the model has %v", step, key, got, model)
			}
		}
		var all []pair
		for k, v := range l.All() {
			all = append(all, pair{k, *v})
		}
		if !slices.Equal(all, model) || l.Len() != len(model) {
			t.Fatalf("step %d: got %v, want %v", step, all, model)
		}
	}
	if len(l.nodes) != most+1 || len(l.index) != most {
		t.Errorf("%d nodes, %d in the index", len(l.nodes), len(l.index))
	}
	none := NewLRU[int, int](0)
	if none.Set(1, 1); none.Len() != 0 || none.Peek(1) != nil {
		t.Error("an LRU of nothing remembers something")
	}
}
