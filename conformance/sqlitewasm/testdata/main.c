// SQLite over go-sqlite3's host functions, for one of SQLite's own test programs, which is
// compiled beside it for WASI.
#include <stdlib.h>
#include "sqlite3.c"

// go-sqlite3's VFSes do not tell their name, and mptest leaves out most of what it has to
// check unless that is "unix".
#define go_file_control named_file_control
#include "vfs.c"
#undef go_file_control
__attribute__((import_module("env"), import_name("go_file_control")))
int go_file_control(sqlite3_file *, int, void *);
int named_file_control(sqlite3_file *file, int op, void *arg) {
  if (op != SQLITE_FCNTL_VFSNAME) return go_file_control(file, op, arg);
  *(char **)arg = sqlite3_mprintf("unix");
  return SQLITE_OK;
}

int sqlite3_os_end(void) { return SQLITE_OK; }
int sqlite3_enable_load_extension(sqlite3 *db, int on) { return SQLITE_OK; }

// unlink, in the program: WASI does not see the directory that the database is in.
int delete_database(const char *path) {
  sqlite3_vfs *vfs = sqlite3_vfs_find("os");
  int rc = vfs->xDelete(vfs, path, 0);
  return rc == SQLITE_IOERR_DELETE_NOENT ? SQLITE_OK : rc;
}
