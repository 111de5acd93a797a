// Package model runs trackers and copiers against each other, one file operation at a time.
//
// It has no code of its own outside of tests. What runs is the real tracker, spool and
// copier. Around them the world is a toy: a disk in memory ([fsx.Mem]) that has the spool, a
// database file whose locks and journal are played, stores in memory, up to three processes, each
// with a tracker and a copier, and a stranger who writes without Boule. Every operation of files,
// every request of a store and every step of a transaction stops at a gate, and a
// scheduler, which has a plan, lets one of them through at a time. Clocks are those of
// testing/synctest: waiting takes no time, and time passes only when the plan says so. So a run is
// a function of its plan, and nothing else.
//
// Plans are drawn by rapid. Their steps let an actor go on for a while (until it is about to
// touch something of a kind, or has done so many operations, or is done), begin transactions,
// evaluations and flushes, kill processes where they stand, cut the power, make an operation
// fail, lose the reply of a store, carry out a put of a process that has gone, let time pass. After each
// operation that changes something package doctor judges all invariants, by what there is and
// by how it came about; when a manifest is put, all its chunks must be in the store, and the
// database must have been like that once. In the end everybody finishes, the database is evaluated and flushed
// once more, and then the stores must hold it and nothing may wait in the spool.
//
// # Replaying a failure
//
// A failure is shrunk by rapid, and told with the plan, what happened last, and how to see it again:
//
//	go test ./conformance/model -run 'TestModel/protocol' -rapid.seed=4711
//	go test ./conformance/model -run 'TestModel/protocol' -rapid.failfile=testdata/rapid/...
//
// A plan by itself, as it is printed, can be run and changed by hand; -v tells all that happens:
//
//	go test ./conformance/model -run TestPlan -v -plan 'seed 1, 2 processes with 1 connections, ...'
//
// Longer runs are had by -rapid.checks (runs of each mix of actions, 60) and -rapid.steps (average
// number of steps or patterns of steps in a plan, 12). With -effects nobody is judged by how he does
// something, but by the consequences only.
//
// [fsx.Mem]: https://pkg.go.dev/github.com/boule-db/boule/internal/fsx#Mem
package model
