// Package storetest checks that a store keeps the promises of package store.
//
// Check needs no testing.T and leaves nothing behind, so that it can be run
// against somebody's real bucket. Run makes each promise a subtest, and knows
// of expected deviations: one that disappears is a failure too, so that lists
// of deviations stay true.
package storetest
