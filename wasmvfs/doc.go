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
// nothing, and what SQLite asks of a file is one call of the file below: there is no
// system call that the os VFS would not make, but for the permissions and the
// directory of a new journal (TestSameCallsUnderneath has the table).
//
// Databases in WAL mode work, in several processes too. They are not replicated, and
// the tracker says so.
//
// # What SQLite may ask, and who answers
//
// go-sqlite3 finds the optional abilities of a file by type assertion, so a wrapper
// has those that it implements, no more. These are all, with their file controls.
// The tests read go-sqlite3's source and fail when it asks for something else.
//
// Forwarded to the file of the os VFS, by databases and by all other files but journals:
//
//   - All of File. Of databases, the tracker hears of locks, writes and sizes.
//   - FileLockState (SQLITE_FCNTL_LOCKSTATE), FilePersistWAL (SQLITE_FCNTL_PERSIST_WAL)
//     and FilePowersafeOverwrite (SQLITE_FCNTL_POWERSAFE_OVERWRITE, and the parameter
//     psow): states that the os VFS keeps.
//   - FileSizeHint (SQLITE_FCNTL_SIZE_HINT), rounded up to whole chunks: the os VFS makes
//     the file grow, so the tracker is told.
//   - FileHasMoved (SQLITE_FCNTL_HAS_MOVED): SQLite asks it before it writes a journal.
//   - FileSharedMemory (SQLITE_FCNTL_LOCK_TIMEOUT, and the calls for the WAL-index): the
//     methods are not exported, so that it can be handed on, but not observed.
//
// Answered here, since the os VFS does not:
//
//   - FileChunkSize (SQLITE_FCNTL_CHUNK_SIZE): sizes are rounded, as in SQLite's own VFS.
//   - FileCommitPhaseTwo (SQLITE_FCNTL_COMMIT_PHASETWO), of databases: the moment of the
//     snapshot when SQLite does not unlock. Then it is forwarded.
//   - FilePragma (SQLITE_FCNTL_PRAGMA), of databases: our pragmas are answered,
//     locking_mode is watched and forwarded, and so are all others.
//   - SetDB (SQLITE_FCNTL_PDB), of databases: it tells which files belong to one connection.
//   - Close (SQLITE_FCNTL_NULL_IO) may be called twice: the control closes the file before
//     its time. The second time it does nothing.
//   - FileUnwrap, which SQLite does not know: it returns the file below.
//
// Not offered, because the file of the os VFS does not offer it, and to say so costs
// SQLite less than to have it forwarded to nobody:
//
//   - FileOverwrite (SQLITE_FCNTL_OVERWRITE): VACUUM is about to write everything.
//   - FileSync (SQLITE_FCNTL_SYNC): the name of the super-journal, before a sync.
//   - FileCheckpoint (SQLITE_FCNTL_CKPT_START, SQLITE_FCNTL_CKPT_DONE).
//   - FileBusyHandler (SQLITE_FCNTL_BUSYHANDLER): the os VFS does not wait by itself.
//
// Masked is FileBatchAtomicWrite (SQLITE_FCNTL_BEGIN_ATOMIC_WRITE,
// SQLITE_FCNTL_COMMIT_ATOMIC_WRITE, SQLITE_FCNTL_ROLLBACK_ATOMIC_WRITE), with its
// SQLITE_IOCAP_BATCH_ATOMIC, which the os VFS has on F2FS: with it go-sqlite3's own build
// of SQLite, which a program may bring instead of ours, does not count changes, and other
// connections read stale pages.
//
// Journals, super-journals and WALs are not files of the os VFS on Unix, see below. They
// can be read, written, truncated and synced: for all else SQLite asks the database.
//
// All other file controls never reach a file: SQLite answers some itself, such as
// SQLITE_FCNTL_DATA_VERSION, and go-sqlite3 says SQLITE_NOTFOUND to the rest. Of the VFS
// are Open, Delete, Access and FullPathname; go-sqlite3 has randomness, sleep and time.
//
// # What is done otherwise than by the os VFS
//
// Each of these is as in SQLite's own VFS for Unix:
//
//   - The directory of a new journal, super-journal or WAL is synced with the file's
//     first sync. The os VFS syncs the file twice instead, and a power cut may take the
//     journal away from a half-written database. (TestPowerLoss loses the power in all
//     journal modes and settings of synchronous.)
//   - Journals, super-journals and WALs are opened, read and written without the os VFS.
//     It would look for parameters of theirs in SQLite's memory, which have no meaning,
//     at each transaction: two calls into Wasm, with stacks of 12 KB each.
//   - A new journal, WAL or WAL-index has the permissions of its database, and its owner
//     when root makes it, whatever the umask.
//   - A database (or WAL) that may not be written is opened read-only.
//   - An empty file counts as absent, so that no transaction opens an empty journal.
//   - With a chunk size (SQLITE_FCNTL_CHUNK_SIZE) a file grows and shrinks by whole chunks.
//   - A path through a directory that does not exist is a path: opening it fails. A symbolic
//     link to nothing is a database that is made where the link points to.
//
// # The VFS boule_snapshot
//
// [NewSnapshot] returns a VFS whose databases are replicas: read-only, without journals
// and locks. A connection moves to a newer snapshot when it is told to by a pragma, or
// at the beginning of a transaction, never within one. SQLite keeps its page cache
// between transactions and asks the file whether it is still good; after a move
// the answer is no, even where the change counters of the two snapshots are equal.
package wasmvfs
