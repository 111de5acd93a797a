// Command bench measures Boule against go-sqlite3 without it, in one run, as ratios: machines are noisy, so medians of
// interleaved rounds with their spread, never one absolute time. It prints one table, and the limits that some of its
// figures must keep.
//
//	go run ./conformance/bench                         # what is measured by default, some ten minutes
//	go run ./conformance/bench -quick                  # whether it works, within a minute
//	go run ./conformance/bench -only small,restore -rounds 9
//	go run ./conformance/bench -only sizes -sizes 10MB,1GB,16GB,256GB -time 1h
//	go run ./conformance/bench -json                   # for programs
//
// Benchmarks are no tests: the exit status tells of limits only with -check.
package main
