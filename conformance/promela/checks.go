package main

// A check is one run of the verifier.
type check struct {
	name     string
	mutation string // what is broken; empty if nothing is
	bounds   []string
	large    bool // only on demand
	// That the mutation breaks nothing, because something else in the protocol excludes the
	// same. README.md says what.
	tolerated bool
}

// fails says that an error must be found.
func (c check) fails() bool { return c.mutation != "" && !c.tolerated }

func (c check) defines() []string {
	if c.mutation == "" {
		return c.bounds
	}
	return append([]string{c.mutation}, c.bounds...)
}

// The bounds that most mutations are caught with: three versions, each with a chunk of its own,
// one tracker after the other, copiers that crash at will.
var small = []string{"MAXV=3", "READS=0", "KILLS=0", "OPENS=0", "CHUNKS=1"}

// The same, but a version shares chunks with the one before.
var shared = []string{"MAXV=3", "READS=0", "KILLS=0", "OPENS=0", "CHUNKS=3"}

// checks are the runs, in order.
var checks = []check{
	{name: "one at a time", bounds: []string{"MAXV=3", "READS=0", "KILLS=0", "OPENS=0", "CHUNKS=1", "BACK"}},
	{name: "chunks in common", bounds: shared},
	{name: "new", bounds: []string{"NEW", "MAXV=2", "READS=0", "KILLS=1", "OPENS=1", "BACK"}},
	{name: "open lock", bounds: []string{"MAXV=2", "READS=0", "KILLS=1", "OPENS=1", "BACK"}},
	{name: "late uploads", bounds: []string{"MAXV=2", "READS=0", "KILLS=0", "OPENS=1", "LATES=1"}},
	{name: "failures", bounds: []string{"MAXV=2", "READS=0", "KILLS=0", "OPENS=0", "FAILS=1"}},
	{name: "clock back", bounds: []string{"CLOCKBACK", "MAXV=2", "READS=0", "KILLS=1", "OPENS=1"}},
	{name: "two at a time", bounds: []string{"MAXV=2", "READS=1", "KILLS=0", "OPENS=0", "CRASH=false"}},
	{name: "two, crashes", bounds: []string{"MAXV=2", "READS=1", "KILLS=0", "OPENS=0"}, large: true},
	{name: "two, open lock", bounds: []string{"MAXV=2", "READS=1", "KILLS=0", "OPENS=1"}, large: true},
	{name: "two, killed", bounds: []string{"MAXV=2", "READS=1", "KILLS=1", "OPENS=0", "CRASH=false"}, large: true},

	{name: "order", mutation: "ORDER", bounds: small},
	{name: "order: consuming, ready", mutation: "ORDERREADY", bounds: small},
	{name: "order: chunks last", mutation: "ORDERCHUNKS", bounds: small},
	{name: "delete first", mutation: "DELFIRST", bounds: small},
	{name: "manifest first", mutation: "METAFIRST", bounds: small},
	{name: "batch's manifest first", mutation: "READYMETAFIRST", bounds: small},
	{name: "not empty", mutation: "WHILEBUSY", bounds: small},
	{name: "all garbage", mutation: "GCALL", bounds: small},
	{name: "ready replaced", mutation: "CLOBBER", bounds: shared},
	{name: "consuming replaced", mutation: "TAKEBUSY", bounds: shared},
	{name: "identity", mutation: "NOBUMP", bounds: small, tolerated: true},
	{name: "names used twice", mutation: "REUSE", bounds: small, tolerated: true},
	{name: "no lock on database", mutation: "NOSHARED", bounds: small},
	{name: "no sequence", mutation: "NOSEQ", bounds: []string{"MAXV=3", "READS=0", "KILLS=0", "OPENS=0", "CHUNKS=1", "BACK"}},
	{name: "no token", mutation: "NOTOKEN", bounds: []string{"MAXV=3", "READS=0", "KILLS=0", "OPENS=1", "CHUNKS=1"}},
}
