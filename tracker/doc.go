// Package tracker decides what of a database must be replicated, and stages it.
//
// A Tracker stands beside one connection's open database file. It notes what a
// transaction writes, replaces the version id of the database before the first
// physical write after a snapshot, and at the end of the transaction stages a
// snapshot for each target into that target's spool. Incremental is decided by proof
// only: the staged manifest must carry the very id that the database had when the
// transaction took its EXCLUSIVE lock. Any doubt means a full snapshot.
//
// A commit costs what it changed: what is staged is known from the last snapshot (see
// index, hot), bursts of commits share a snapshot (see [Options.Coalesce] and NextUpload), and a large
// one is left to Eager trackers (see [Options.CommitChunks]), which only read while a writer waits for
// them, and make files when they have unlocked (see [Tracker.Unlocked]).
//
// A Manager is shared by all connections of a configuration. It remembers which
// databases are behind, why, and when the next attempt is due.
//
// No error and no panic leaves this package towards SQLite: whatever fails is
// logged, kept in Health, and repaired by a later snapshot. It never opens a
// database, never touches a network, and waits for nobody but other connections of
// the same process that stage the same database.
package tracker
