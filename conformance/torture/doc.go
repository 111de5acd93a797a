// Command torture runs Boule as badly as a day can go, with real processes, and
// sees whether a replica ever is anything but a state that the database was in.
//
//	go run ./conformance/torture --duration 30m --seed 7
//	make torture DURATION=30m SEED=7
//
// A run is a sequence of rounds. In each, several processes write a few databases
// through Boule, in changing journal modes and page sizes, beside the stock sqlite3
// program, which knows nothing of Boule. They are killed and stopped at random, stores fail, the
// spool is deleted, databases are deleted, made again and renamed. Then all becomes
// quiet, the spool is flushed, and the round is judged:
//
//   - What is restored from each store is the database, byte for byte, and sound by
//     the stock program's integrity_check.
//   - Each manifest that was uploaded at any moment of the round named only chunks that
//     were in the store already, and restores to a sound database in a state that was committed, and
//     that somebody read.
//   - So it is with each entry of a log. No entry was ever replaced, none is missing, and a check of all data finds
//     no fault.
//   - Where a reader held SHARED and took fingerprints of the file in that very state, the
//     restored file has the same.
//   - No process that uses Boule met an error that SQLite alone would not have had.
//
// # How a state is known
//
// Every transaction, of whoever, counts table stamp up and gives it a random id; triggers keep
// the sum of what table t holds in it, and each row's text follows from its tag. So a state
// names itself, and a mixture of two states contradicts itself. Each process notes in a file of its own,
// by single appends that survive its death, the states that it read under a
// lock: before each of its transactions, after it, and between. What was rolled back is noted as
// such. A restored state must be among those read, and not among those rolled back.
//
// # Randomness
//
// Everything random comes from the seed, which is printed. What the scheduler of the operating system
// makes of it is not reproduced by it.
//
// A divergence ends the run with status 1; the directory with the databases, the spool, the stores,
// the records and the logs of that round stays, and is named.
package main
