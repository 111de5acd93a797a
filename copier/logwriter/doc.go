// Package logwriter appends snapshots to a replica in the log layout, compacts what they leave behind, and
// prunes old ones.
//
// Data are put before the index, the index before the entry that names them, and an entry is created only
// if there is none of its number: so what an entry names is there, and of two writers one learns that
// the name is no longer its own. An entry is never changed. What a failure leaves behind in packs
// is named by nothing, and is garbage, which [Prune] lists first and removes a grace later.
package logwriter
