// Package copier moves snapshots from spools to object stores.
//
// One Copier serves a whole process. Each spool belongs to one database file and one
// target; a pass over it drains the ready snapshot, then the staged one, then ready
// again, with the checks between that keep these promises:
//
//   - A chunk is uploaded before any manifest that names it, and a spool file is
//     deleted only after the store acknowledged its upload.
//   - A chunk is uploaded only if its content has the fingerprint that its name says.
//   - The manifest in the store never goes back in Sequence, as far as the tap of this
//     boot can tell.
//   - Nothing changed, nothing sent.
//
// The tap of a database is the last manifest that the store acknowledged. A tap whose
// content starts with "doubt " says instead that the store was found to lack what it
// should hold: the next manifest is uploaded only after each of its chunks was seen there.
//
// A target with the layout log has no chunks and manifests of its own: a pass appends the ready snapshot and then the staged one,
// each whole, to the log of the replica, and what is in the log takes the part of the tap. Package logwriter keeps the order.
//
// The copier never opens a database, never takes a lock that SQLite takes, and nothing
// of it but [Copier.Notify], [Copier.Add] and [Copier.Remove], which wait for nothing, is
// reachable from a commit.
package copier
