// Package doctor says whether spools, stores and databases keep the invariants
// I1 to I26 of spool/SPOOL.md.
//
// [Invariants] lists them: each has a statement and a check. [Look] reads the tree
// of spools below a prefix, in any file system; a [Stored] says what a store holds and
// a [Database] what a database does. [Judge] judges such a state by itself. An
// [Observer] judges what happens: it is told one state after another, and what was
// done in between, by whom ([Event]; a [Recorder] notes them). [Examine] judges spools
// that are in use: what looks wrong there is looked at again until nothing
// moved between two looks.
//
// The package reads only. It takes no lock but that of a reader of a database, in [Examine],
// and that for moments.
package doctor
