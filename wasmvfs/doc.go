// Package wasmvfs holds the virtual file systems that SQLite calls.
//
// # The VFS boule
//
// [New] returns a VFS that is go-sqlite3's own, the os VFS, to the application, and
// that tells a tracker what is written through it. Tracked are main databases
// that have a name, attached ones too, unless they are opened with immutable=1 or
// nolock=1, which take away the locks that a snapshot needs. The parameter
// boule_eager=1 makes the connection one of Boule's own: its first unlock evaluates
// the database even if nothing was written, writers of the same process wait for it
// instead of finding the database busy, and its file is not closed but kept for the
// next such connection, since closing would drop the POSIX locks that another copy
// of SQLite in the process may have. With boule_yield=1 it gives way to such writers.
//
// The order of what happens to a tracked database is:
//
//   - The lock goes to EXCLUSIVE, then the tracker is told.
//   - The tracker is told of each change of the file (writes, truncations, and size
//     hints that make it grow), then the change is made.
//   - When SQLite unlocks and there is something to stage, the lock goes to SHARED,
//     then the tracker takes its snapshot, then the lock goes where SQLite wants it.
//   - In locking_mode=EXCLUSIVE SQLite does not unlock. There the snapshot is taken at
//     SQLITE_FCNTL_COMMIT_PHASETWO, when the journal is gone and the lock is held
//     still. That mode is known from its pragma, or else from a write after a commit
//     without an unlock in between.
//
// No error and no panic of a tracker reaches SQLite. Reading and writing allocate
// nothing and make no system call that the os VFS would not make.
//
// Databases in WAL mode work, in several processes too. They are not replicated, and
// the tracker says so.
//
// # What is forwarded
//
// go-sqlite3 finds the optional abilities of a file by type assertion, so a wrapper
// has those that it implements, no more. Forwarded is what the file of the os VFS
// has: FileLockState, FilePersistWAL, FilePowersafeOverwrite, FileSizeHint,
// FileHasMoved and FileSharedMemory (whose methods are not exported: it can be handed
// on, not observed). FileChunkSize, FileCommitPhaseTwo, FilePragma and the SetDB that
// answers SQLITE_FCNTL_PDB are our own. Not offered are FileOverwrite, FileSync,
// FileCheckpoint and FileBusyHandler, which the os VFS has not, and
// FileBatchAtomicWrite, which it has on F2FS. A test fails when that changes.
//
// # What is done otherwise than by the os VFS
//
// Each of these is as in SQLite's own VFS for Unix:
//
//   - The directory of a new journal, super-journal or WAL is synced with the file's
//     first sync. The os VFS syncs the file twice instead, and a power cut may take the
//     journal away from a half-written database. (TestPowerLoss loses the power in all
//     journal modes and settings of synchronous.)
//   - A new journal, WAL or WAL-index has the permissions of its database, and its owner
//     when root makes it, whatever the umask.
//   - A database (or WAL) that may not be written is opened read-only.
//   - An empty file counts as absent, so that no transaction opens an empty journal.
//   - With a chunk size (SQLITE_FCNTL_CHUNK_SIZE) a file grows and shrinks by whole chunks.
//   - A path through a directory that does not exist is a path: opening it fails. A symbolic
//     link to nothing is a database that is made where the link points to.
//
// And SQLITE_IOCAP_BATCH_ATOMIC is hidden: with it this SQLite does not count changes,
// and other connections read stale pages. Closing a file twice is harmless, since
// SQLITE_FCNTL_NULL_IO closes it before its time.
//
// # The VFS boule_snapshot
//
// [NewSnapshot] returns a VFS whose databases are replicas: read-only, without journals
// and locks. A connection moves to a newer snapshot when it is told to by a pragma, or
// at the beginning of a transaction, never within one. SQLite keeps its page cache
// between transactions and asks the file whether it is still good; after a move
// the answer is no, even where the change counters of the two snapshots are equal.
package wasmvfs
