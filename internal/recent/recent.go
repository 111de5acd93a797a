package recent

import (
	"slices"
	"sync"
)

// Values remembers some values by their keys. It goes through all of them at each call, and is
// meant for a dozen or two. It is safe for concurrent use.
type Values[K comparable, V any] struct {
	most int

	mu   sync.Mutex // guards the following
	list []entry[K, V]
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// New returns Values that remember at most that many.
func New[K comparable, V any](most int) *Values[K, V] { return &Values[K, V]{most: most} }

// Get returns the value of a key, which counts as used, if it is remembered.
func (v *Values[K, V]) Get(key K) (value V, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	i := v.find(key)
	if i < 0 {
		return value, false
	}
	e := v.list[i]
	v.list = append(slices.Delete(v.list, i, i+1), e)
	return e.value, true
}

// Add remembers a value, and forgets the one that was not used for longest if there are too many.
// The value of a key that is remembered stays.
func (v *Values[K, V]) Add(key K, value V) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.find(key) >= 0 {
		return
	}
	if len(v.list) >= v.most {
		v.list = slices.Delete(v.list, 0, 1)
	}
	v.list = append(v.list, entry[K, V]{key, value})
}

func (v *Values[K, V]) find(key K) int {
	return slices.IndexFunc(v.list, func(e entry[K, V]) bool { return e.key == key })
}
