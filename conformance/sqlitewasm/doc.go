// Package sqlitewasm runs two of SQLite's own test programs, as WebAssembly, over the VFS
// boule: mptest, in which several processes (here: instances) write to one database, and
// speedtest1. Tests do, and so do the benchmarks with [Load].
//
// They run plain, and with a tracker behind the VFS. Then each snapshot is put together from
// the spool at the moment it was taken, while the database is still locked, and must equal it.
//
// testdata/build.sh makes the programs, and says from what.
package sqlitewasm
