// Command sqlite is a C archive, for tests only: it puts the VFS boule under a SQLite that
// is compiled by a C compiler, so that SQLite's own test programs run over it.
//
//	Tcl -> testfixture (SQLite, gcc) -> shim.c (sqlite3_vfs) -> this package -> package wasmvfs
//
// The calls of SQLite reach the VFS through go-sqlite3's own host functions, those that its
// WebAssembly calls in production: they get a memory that they take for that of a module. So
// errors, file controls and the wrapper that go-sqlite3 puts around databases are the real ones.
//
// The environment decides what runs:
//
//	BOULE_VFS          plain: without a tracker; replicated: with one; nothing: the stock VFS
//	BOULE_VFS_NAME     the name to register, "boule" by default
//	BOULE_TEST_DIR     where spool, store and the counts of all processes are
//	BOULE_TEST_BREAK   a bug to plant: see break.go
//	BOULE_TEST_DELAY   how long a snapshot of tiny transactions may wait; off by default
//
// A replicated run validates itself, in every process: each snapshot is put together again
// from spool and store while the database is still locked, and must equal it byte for byte,
// and a transaction must have left one, or a known reason for none. What is found wrong is
// written to BOULE_TEST_DIR/violations, and the process aborts.
package main
