package remotelog

import (
	"fmt"
	"slices"
	"sort"

	"google.golang.org/protobuf/encoding/protowire"
)

// prunedMagic is what the list of pruned entries begins with; the last byte is its version.
const prunedMagic = "boulegon\x03"

// Earlier versions of it.
const (
	prunedNumbers = 1 // has only those entries whose objects are still there, each by its number
	prunedAlone   = 2 // has no list of garbage beside it
)

// MaxPruned is the length of the longest list of pruned entries.
const MaxPruned = 64 << 20

// Pruned says which entries of a log are no recovery points any more. The objects of some are still there, for frames in them that others
// need. Any other entry that is not there was lost. The zero value is of a log that was never pruned.
type Pruned struct {
	// Unlisted is a number before which entries that are not there need not be listed; it is 0 but for logs that were
	// first pruned by a version which did not list them.
	Unlisted uint64
	// Garbage says that there is a list of garbage, too (see GarbageKey).
	Garbage bool

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

// Merge adds the entries that another list has.
func (p *Pruned) Merge(q Pruned) {
	p.Unlisted = max(p.Unlisted, q.Unlisted)
	for _, r := range q.runs {
		p.Add(r)
	}
}

// Before returns the part of the list that is about entries before a number.
func (p *Pruned) Before(number uint64) Pruned {
	q := Pruned{Unlisted: min(p.Unlisted, number), runs: slices.Clone(p.runs[:p.at(number)])}
	if i := len(q.runs); i < len(p.runs) && p.runs[i].First < number {
		q.runs = append(q.runs, Run{p.runs[i].First, number - 1})
	}
	return q
}

// Contains says whether all that another list has is in this one.
func (p *Pruned) Contains(q Pruned) bool {
	return !slices.ContainsFunc(q.runs, func(r Run) bool {
		i := p.at(r.Last)
		return i == len(p.runs) || p.runs[i].First > r.First
	})
}

// Alone returns a list with only the runs of this one.
func (p *Pruned) Alone() Pruned { return Pruned{runs: slices.Clone(p.runs)} }

// Clone returns a copy.
func (p *Pruned) Clone() Pruned { return Pruned{p.Unlisted, p.Garbage, slices.Clone(p.runs)} }

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
	b := protowire.AppendVarint(nil, protowire.EncodeBool(p.Garbage))
	b = protowire.AppendVarint(b, p.Unlisted)
	return sealList(prunedMagic, name, appendRuns(b, p.runs))
}

func appendRuns(b []byte, runs []Run) []byte {
	b = protowire.AppendVarint(b, uint64(len(runs)))
	end := uint64(0)
	for _, r := range runs {
		b = protowire.AppendVarint(b, r.First-end)
		b = protowire.AppendVarint(b, r.Last-r.First+1)
		end = r.Last + 1
	}
	return b
}

// DecodePruned is the reverse of EncodePruned. It fails with [ErrCorrupt] and [ErrVersion].
func DecodePruned(name string, b []byte) (p Pruned, err error) {
	c, version, err := openList(prunedMagic, name, b)
	if err == nil {
		switch version {
		case prunedNumbers:
			p = c.prunedNumbers()
		case prunedAlone:
			p = c.pruned()
		default:
			garbage := protowire.DecodeBool(c.uint(1))
			p = c.pruned()
			p.Garbage = garbage
		}
		err = c.end()
	}
	if err != nil {
		return Pruned{}, fmt.Errorf("decode list of pruned entries: %w", err)
	}
	return p, nil
}

// pruned reads a list of runs, and what comes before them.
func (c *cursor) pruned() Pruned {
	unlisted := c.uint(MaxNumber)
	return Pruned{Unlisted: unlisted, runs: c.runs()}
}

func (c *cursor) runs() (runs []Run) {
	steps := c.uints(2*int(c.uint(uint64(len(c.rest)))), MaxNumber)
	end := uint64(0)
	for i := 0; i < len(steps); i += 2 {
		r := Run{First: end + steps[i], Last: end + steps[i] + steps[i+1] - 1}
		if steps[i] == 0 || steps[i+1] == 0 || r.Last > MaxNumber {
			c.fail()
			return nil
		}
		runs = append(runs, r)
		end = r.Last + 1
	}
	return runs
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
