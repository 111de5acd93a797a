package remotelog

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"github.com/zeebo/xxh3"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/boule-db/boule/manifest"
)

// prunedMagic is what the list of pruned entries begins with; the last byte is its version.
const prunedMagic = "boulegon\x02"

// prunedNumbers is the version of lists that have only those entries whose objects are still there, each by its number.
const prunedNumbers = 1

// MaxPruned is the length of the longest list of pruned entries.
const MaxPruned = 64 << 20

// Pruned says which entries of a log are no recovery points any more. The objects of some are still there, for frames in them that others
// need. Any other entry that is not there was lost. The zero value is of a log that was never pruned.
type Pruned struct {
	// Unlisted is a number before which entries that are not there need not be listed; it is 0 but for logs that were
	// first pruned by a version which did not list them.
	Unlisted uint64

	runs []Run
}

// A Run is successive numbers of entries.
type Run struct{ First, Last uint64 }

// Runs returns what is listed, ascending; no run touches the next.
func (p *Pruned) Runs() []Run { return slices.Clip(p.runs) }

// Last returns the greatest number that is listed, or 0. The newest entry has a greater one.
func (p *Pruned) Last() uint64 {
	if len(p.runs) == 0 {
		return 0
	}
	return p.runs[len(p.runs)-1].Last
}

// Has says whether an entry is listed.
func (p *Pruned) Has(number uint64) bool {
	i := p.at(number)
	return i < len(p.runs) && p.runs[i].First <= number
}

// at returns the first run that does not end before a number.
func (p *Pruned) at(number uint64) int {
	return sort.Search(len(p.runs), func(i int) bool { return p.runs[i].Last >= number })
}

// Add adds the entries of a run to the list. It panics if that has none, or some that no log has.
func (p *Pruned) Add(r Run) {
	if r.First == 0 || r.Last < r.First || r.Last > MaxNumber {
		panic(fmt.Sprintf("remotelog: Pruned.Add: from %d to %d", r.First, r.Last))
	}
	from := p.at(r.First - 1) // which it touches
	to := from
	for ; to < len(p.runs) && p.runs[to].First <= r.Last+1; to++ {
		r.First, r.Last = min(r.First, p.runs[to].First), max(r.Last, p.runs[to].Last)
	}
	p.runs = slices.Replace(p.runs, from, to, r)
}

// Merge adds what another list has.
func (p *Pruned) Merge(q Pruned) {
	p.Unlisted = max(p.Unlisted, q.Unlisted)
	for _, r := range q.runs {
		p.Add(r)
	}
}

// Before returns the part of the list that is about entries before a number.
func (p *Pruned) Before(number uint64) Pruned {
	q := Pruned{min(p.Unlisted, number), slices.Clone(p.runs[:p.at(number)])}
	if i := len(q.runs); i < len(p.runs) && p.runs[i].First < number {
		q.runs = append(q.runs, Run{p.runs[i].First, number - 1})
	}
	return q
}

// Clone returns a copy.
func (p *Pruned) Clone() Pruned { return Pruned{p.Unlisted, slices.Clone(p.runs)} }

// Missing returns those from first to last that are not listed, as runs.
func (p *Pruned) Missing(first, last uint64) (runs []Run) {
	first = max(first, p.Unlisted)
	for i := p.at(first); first <= last; i++ {
		if i == len(p.runs) || p.runs[i].First > last {
			return append(runs, Run{first, last})
		}
		if r := p.runs[i]; r.First > first {
			runs = append(runs, Run{first, r.First - 1})
		}
		first = p.runs[i].Last + 1
	}
	return runs
}

// EncodePruned returns the object that lists the pruned entries of the replica with that name.
func EncodePruned(name string, p Pruned) []byte {
	b := appendSum([]byte(prunedMagic), NameSum(name))
	b = protowire.AppendVarint(b, p.Unlisted)
	b = protowire.AppendVarint(b, uint64(len(p.runs)))
	end := uint64(0)
	for _, r := range p.runs {
		b = protowire.AppendVarint(b, r.First-end)
		b = protowire.AppendVarint(b, r.Last-r.First+1)
		end = r.Last + 1
	}
	return binary.BigEndian.AppendUint64(b, xxh3.Hash(b))
}

// DecodePruned is the reverse of EncodePruned. It fails with [ErrCorrupt] and [ErrVersion].
func DecodePruned(name string, b []byte) (Pruned, error) {
	p, err := decodePruned(name, b)
	if err != nil {
		return Pruned{}, fmt.Errorf("decode list of pruned entries: %w", err)
	}
	return p, nil
}

func decodePruned(name string, b []byte) (p Pruned, err error) {
	const last = len(prunedMagic) - 1
	switch {
	case len(b) <= last || string(b[:last]) != prunedMagic[:last] || b[last] == 0:
		return p, corrupt("it does not begin as one does")
	case b[last] > prunedMagic[last]:
		return p, fmt.Errorf("%w: it has version %d, this program knows %d", ErrVersion, b[last], prunedMagic[last])
	case len(b) < len(prunedMagic)+sumSize+1+checkSize:
		return p, corrupt("it is cut short")
	}
	body := b[:len(b)-checkSize]
	if xxh3.Hash(body) != binary.BigEndian.Uint64(b[len(body):]) {
		return p, corrupt("it differs from its check")
	}
	c := cursor{rest: body[len(prunedMagic):]}
	if manifest.At(c.sums(1), 0) != NameSum(name) {
		return p, corrupt("it is that of another replica")
	}
	if b[last] == prunedNumbers {
		p = c.prunedNumbers()
	} else {
		p = c.pruned()
	}
	if c.failed || len(c.rest) > 0 {
		return p, corrupt("it is cut short or malformed, or does not ascend")
	}
	return p, nil
}

// pruned reads a list of runs.
func (c *cursor) pruned() Pruned {
	p := Pruned{Unlisted: c.uint(MaxNumber)}
	steps := c.uints(2*int(c.uint(uint64(len(c.rest)))), MaxNumber)
	end := uint64(0)
	for i := 0; i < len(steps); i += 2 {
		r := Run{First: end + steps[i], Last: end + steps[i] + steps[i+1] - 1}
		if steps[i] == 0 || steps[i+1] == 0 || r.Last > MaxNumber {
			c.fail()
			break
		}
		p.runs = append(p.runs, r)
		end = r.Last + 1
	}
	return p
}

// prunedNumbers reads a list of the first version: the numbers of those that are still there.
func (c *cursor) prunedNumbers() Pruned {
	p := Pruned{Unlisted: MaxNumber}
	number := uint64(0)
	for range c.uint(uint64(len(c.rest))) {
		step := c.uint(MaxNumber)
		if number += step; step == 0 || number > MaxNumber {
			c.fail()
			break
		}
		p.Add(Run{number, number})
	}
	return p
}
