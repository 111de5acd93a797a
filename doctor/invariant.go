package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

// An Invariant is a sentence that always holds, and how it is checked.
type Invariant struct {
	ID        string // "I1" to "I26"
	Statement string
	check     func(c *evidence)                // of a state, and of the step to it
	trace     func(c *evidence, o *occurrence) // of what was done; either may be nil
}

// A Violation is an invariant that does not hold.
type Violation struct {
	Invariant string `json:"invariant"`
	Path      string `json:"path"` // where: in the prefix, in the store, or of the database
	Detail    string `json:"detail"`
}

// String returns the violation on one line.
func (v Violation) String() string { return v.Invariant + ": " + v.Path + ": " + v.Detail }

// Invariants returns all invariants, in order.
func Invariants() []Invariant {
	return []Invariant{
		{"I1", "What can be seen outside scratch is complete, read-only, and belongs there.", (*evidence).complete, nil},
		{"I2", "The same chunk name means the same bytes, in the spool and in the store.", (*evidence).named, nil},
		{"I3", "A chunk is staged before a staged manifest references it.", (*evidence).chunkStaged, (*evidence).chunkFirst},
		{"I4", "Each chunk of a staged manifest is in the store, in staging, ready or consuming, or is the first, or is all zeros.", (*evidence).stagedChunks, nil},
		{"I5", "Each chunk of a manifest in ready or consuming is in the same directory, goes before it, is in the store, is the first, or is all zeros.", (*evidence).batchChunks, nil},
		{"I6", "Ready appears whole, by one rename, and never changes after.", (*evidence).readyWhole, (*evidence).touchesReady},
		{"I7", "Ready goes only by a rename to an absent or empty consuming.", (*evidence).readyGoes, nil},
		{"I8", "In consuming a chunk goes after it was uploaded, and a manifest after it and all its chunks were.", (*evidence).consumed, nil},
		{"I9", "No path in ready or consuming is ever used twice.", (*evidence).uniqueOnce, nil},
		{"I10", "Producers remove staged chunks only after they published: all then, else only what is not referenced, or had left it before.", nil, (*evidence).garbage},
		{"I11", "Content moves from staging to ready to consuming only, and whoever uploads what is staged has seen them empty in that order.", (*evidence).direction, (*evidence).looksInOrder},
		{"I12", "Publication links the staged manifest, and so changes its identity.", (*evidence).identity, (*evidence).links},
		{"I13", "A manifest is in the store only after all the chunks that it references.", (*evidence).storedChunks, nil},
		{"I14", "The store never goes back in time: nobody uploads what is staged while ready or consuming holds something.", (*evidence).forward, (*evidence).uploadsStaged},
		{"I15", "The newest manifest arrives in the end.", (*evidence).arrives, nil},
		{"I16", "No step of a producer waits for a lock, uses a store or a network.", nil, (*evidence).neverWaits},
		{"I17", "A spool takes a small multiple of its database, whatever consumers do.", (*evidence).bounded, nil},
		{"I18", "Nothing in a spool is synced, and nothing of another boot is read.", (*evidence).thisBoot, (*evidence).syncs},
		{"I19", "A manifest describes the exact bytes of a database that existed, under a SHARED lock.", (*evidence).exact, nil},
		{"I20", "A manifest lists one fingerprint for each 64 KiB, and only the last chunk may be shorter.", (*evidence).listed, nil},
		{"I21", "Whoever finds no usable staged manifest stages all chunks.", nil, (*evidence).fullOnDoubt},
		{"I22", "The store holds the same bytes once, however often they were uploaded.", (*evidence).storedOnce, nil},
		{"I23", "A snapshot is incremental only if the staged manifest has the version id of the database when the transaction began, or has it now, or had it before a burst whose record says what changed since.", nil, (*evidence).incremental},
		{"I24", "No fault of replication changes what SQLite's calls return.", nil, (*evidence).sqlite},
		{"I25", "At most one pass per process works on a spool at a time.", nil, (*evidence).onePass},
		{"I26", "What a reader sees of one snapshot never changes.", nil, (*evidence).reader},
	}
}

// A State is what was seen at one moment. What is absent from it can't be judged.
type State struct {
	Tree      *Tree
	Stores    map[string]*Stored   // by target
	Databases map[string]*Database // by path
}

func (s *State) tree() *Tree {
	if s == nil || s.Tree == nil {
		return &Tree{}
	}
	return s.Tree
}

func (s *State) store(target string) *Stored {
	if s == nil {
		return nil
	}
	return s.Stores[target]
}

// Options says how strict a judge is. A nil *Options is the zero value.
type Options struct {
	// Ratio bounds the bytes of a spool by this many times the database. Zero means 4.
	Ratio int64
	// EachOperation says that an Observer sees each file operation: nothing happens
	// between two steps that it is not told.
	EachOperation bool
	// MayGoBack says that copiers may lose the patience to wait for one another: then a store
	// may go back in time for a while. In the end it holds the newest all the same.
	MayGoBack bool
}

// evidence is what a check looks at, and what it finds.
type evidence struct {
	opts   Options
	now    *State
	before *State // nil: there is only one state
	events []Event
	quiet  bool // all work is done
	memory *memory

	id    string
	found []Violation
}

func (c *evidence) bad(path, format string, args ...any) {
	c.found = append(c.found, Violation{c.id, path, fmt.Sprintf(format, args...)})
}

// run makes all checks and returns what they found, in order of the invariants and then of paths.
func (c *evidence) run() []Violation {
	if c.opts.Ratio == 0 {
		c.opts.Ratio = 4
	}
	all := Invariants()
	for _, e := range c.events {
		o := c.memory.occurrence(e)
		for _, inv := range all {
			if inv.trace != nil {
				c.id = inv.ID
				inv.trace(c, o)
			}
		}
		c.memory.learn(o)
	}
	for _, inv := range all {
		if inv.check != nil {
			c.id = inv.ID
			inv.check(c)
		}
	}
	slices.SortStableFunc(c.found, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(number(a), number(b)), cmp.Compare(a.Path, b.Path))
	})
	return c.found
}

func number(v Violation) int {
	n, _ := strconv.Atoi(v.Invariant[1:])
	return n
}

// Judge judges one state by itself.
func Judge(now *State, opts *Options) []Violation {
	c := &evidence{now: now, memory: newMemory()}
	if opts != nil {
		c.opts = *opts
	}
	return c.run()
}
