// Package logrep is the read side of the log layout (package remotelog): it finds the newest entry
// of a log, or that of a time, serves reads of the state that an entry describes, restores
// it, and checks that everything is there which the entries name.
//
// Nothing is believed. Entries, frames, index blocks and chunks are compared with their
// fingerprints before anything of them is used; what is missing or damaged is an error that
// names the object, and never becomes wrong data.
//
// # Requests
//
// Finding the newest entry of a log costs four requests if [remotelog.LatestKey] is up to date,
// and asking whether there is another one costs one. A chunk costs one request for each frame that it
// lies in; [Restore] and [Snapshot.Prefetch] fetch neighbouring frames together.
//
// # What readers rely on
//
// A log grows at its end only, and has no gaps there. Whoever prunes it first brings the copy
// under LatestKey up to date, and removes no entry, whether it is a recovery point or not, that was
// the newest within the last [Contiguous].
//
// The package writes to no store. It retries nothing: stores do that.
package logrep
