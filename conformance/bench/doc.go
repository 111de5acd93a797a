// Command bench measures Boule against go-sqlite3 without it, in one run, as
// ratios: these machines are noisy, so medians of interleaved rounds with their
// spread, never one absolute time.
//
//	go run ./conformance/bench            # all
//	go run ./conformance/bench -only commits,restore -rounds 9
package main
