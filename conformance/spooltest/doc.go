// Package spooltest judges spools: whether a tree of spools, with what has reached the stores,
// keeps the invariants of spool/SPOOL.md.
//
// It looks only; it neither opens databases nor changes a spool. Judge while nobody moves files
// in the tree: what moves may be seen in two places, or in none.
package spooltest
