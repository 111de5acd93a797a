// Package faults makes each operation of spool, tracker and copier fail, at each of its file
// operations, in every way that a disk has, and lets the process die there.
//
// After each fault all invariants of package doctor hold, and one more transaction and flush
// bring the database to the store byte for byte: in the same process after an error, and in
// another one, of the same boot and of the next, after a death. What SQLite is told
// never depends on the fault.
//
// Every operation is hit at every place, with errors and boots taking turns; BOULE_FAULTS=all
// tries all of them everywhere.
package faults
