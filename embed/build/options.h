// Boule's choice of compile options: those of go-sqlite3, then what differs.
// ../README.md has the reasons.
#include "sqlite_opt.h"

// Content that is deleted is overwritten where its page is written anyway.
#define SQLITE_FAST_SECURE_DELETE 1

// Every change of a page goes through a rollback journal or a WAL, and is counted.
#undef SQLITE_ENABLE_ATOMIC_WRITE
#undef SQLITE_ENABLE_BATCH_ATOMIC_WRITE

// Nothing is read but by the VFS.
#define SQLITE_MAX_MMAP_SIZE 0

// From 3.53 on base64.c calls its initialisation so; main.c has the older name.
#define sqlite3_base_init sqlite3_base64_init
