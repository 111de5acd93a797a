package recent

import "iter"

// An LRU remembers many values by their keys, and forgets those that were not used for longest. It takes a
// map entry and a node in one slice for each, and nothing for the collector to follow but what keys and values
// hold. It is not safe for concurrent use.
type LRU[K comparable, V any] struct {
	most  int
	index map[K]int32
	nodes []node[K, V] // a ring of the last used, through nodes[0]
}

type node[K comparable, V any] struct {
	key        K
	value      V
	prev, next int32
}

// NewLRU returns an LRU of at most that many values; none if most is not positive.
func NewLRU[K comparable, V any](most int) *LRU[K, V] {
	return &LRU[K, V]{most: most, index: make(map[K]int32), nodes: make([]node[K, V], 1)}
}

// Len returns how many values are remembered.
func (l *LRU[K, V]) Len() int { return len(l.index) }

// Peek returns the value of a key, nil if there is none. That does not count as a use. The value may be
// changed until the next Set.
func (l *LRU[K, V]) Peek(key K) *V {
	i, ok := l.index[key]
	if !ok {
		return nil
	}
	return &l.nodes[i].value
}

// Use makes a key the one that was used last, if it is there.
func (l *LRU[K, V]) Use(key K) {
	if i, ok := l.index[key]; ok {
		l.unlink(i)
		l.pushFront(i)
	}
}

// Set remembers a value, which is the one used last then.
func (l *LRU[K, V]) Set(key K, value V) {
	if l.most <= 0 {
		return
	}
	i, ok := l.index[key]
	switch {
	case ok:
		l.unlink(i)
	case len(l.index) < l.most:
		i = int32(len(l.nodes))
		l.nodes = append(l.nodes, node[K, V]{})
	default:
		i = l.nodes[0].prev
		l.unlink(i)
		delete(l.index, l.nodes[i].key)
	}
	l.nodes[i].key, l.nodes[i].value = key, value
	l.index[key] = i
	l.pushFront(i)
}

// All yields all values, the one used last at the end. Meanwhile the LRU must not be changed.
func (l *LRU[K, V]) All() iter.Seq2[K, *V] {
	return func(yield func(K, *V) bool) {
		for i := l.nodes[0].prev; i != 0; i = l.nodes[i].prev {
			if !yield(l.nodes[i].key, &l.nodes[i].value) {
				return
			}
		}
	}
}

func (l *LRU[K, V]) unlink(i int32) {
	n := &l.nodes[i]
	l.nodes[n.prev].next, l.nodes[n.next].prev = n.next, n.prev
}

func (l *LRU[K, V]) pushFront(i int32) {
	n, head := &l.nodes[i], &l.nodes[0]
	n.prev, n.next = 0, head.next
	l.nodes[head.next].prev = i
	head.next = i
}
