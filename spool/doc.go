// Package spool is the directory protocol between trackers, which write snapshots
// of a database under SQLite's lock, and copiers, which upload them.
//
// There is one spool for each database file and target. The producer's side
// ([Producer]) and the consumer's ([Consumer]) are two types that share nothing but
// the layout, so that neither can take the other's steps; any number of each may
// work on one spool at once, in any processes. SPOOL.md describes the tree, the
// orders of steps and the invariants that they keep.
//
// Files appear in a spool complete and read-only, by link or rename, and directories
// of a ready snapshot by one rename of the whole. Nothing here is fsynced: the tree
// is named by the boot id and ignored after a reboot. The package never opens a
// database, never touches a network, and waits for nobody except in
// [Consumer.LockMeta].
package spool
