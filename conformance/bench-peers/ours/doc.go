// Command ours runs a workload with go-sqlite3, plain or with Boule.
//
//	ours DB JOURNAL SYNC PAGE MODE N RATE
//
// BENCH_ENGINE says with what: "plain", or else Boule, replicating to the store of BOULE_STORE into the spool
// BOULE_SPOOL if there are any. BENCH_ENGINE=replica reads the replica whose reference is DB instead, and
// BENCH_ENGINE=lag measures how long a commit takes to be seen in a replica.
package main
