// Package boule replicates SQLite databases to S3-compatible stores from pure
// Go, without cgo.
//
// [Open] gives a *sql.DB whose database replicates itself: every commit is
// snapshotted into a local spool under SQLite's own lock, and a copier in the
// background uploads the spool. sql.Open("boule", path) does the same with the
// configuration of the environment. [OpenReplica] opens what is in the store as a
// read-only database; [Restore] writes it back to a file, byte for byte.
//
// This package is the front door. It owns the configuration, the wiring of the
// layers below (host, spool, tracker, copier, replica, wasmvfs) and the order in
// which they start and stop. It keeps no format and no protocol of its own.
//
// What an application may rely on:
//
//   - No fault of replication (full disk, no network, bad credentials) fails or
//     blocks an open, read, write, lock or close of SQLite. Faults are logged,
//     shown by [Status], and repaired by the next snapshot.
//   - What a store holds under a name is always a state that the database was in.
//   - [Replicator.Flush] succeeds only after each store acknowledged a manifest at
//     least as new as the database.
package boule
