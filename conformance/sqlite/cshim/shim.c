/*
** The VFS boule for a SQLite compiled by a C compiler: a sqlite3_vfs whose methods call the Go
** archive. Linked into SQLite's test programs and called by sqlite3_initialize
** (-DSQLITE_EXTRA_INIT=boule_init), it becomes the default VFS if the environment says so.
**
** It does beside that what SQLite's test suite expects of any VFS, as os_unix.c does: it counts
** open files and syncs, and simulates I/O errors and full disks, in front of the Go code.
** Everything that has nothing to do with files (time, randomness, shared libraries, system
** calls) is the built-in VFS's.
*/
#include <stdlib.h>
#include <string.h>
#include "sqlite3.h"
#include "libboule.h"

#ifdef SQLITE_TEST
extern int sqlite3_io_error_hit;
extern int sqlite3_io_error_hardhit;
extern int sqlite3_io_error_pending;
extern int sqlite3_io_error_persist;
extern int sqlite3_io_error_benign;
extern int sqlite3_diskfull_pending;
extern int sqlite3_diskfull;
extern int sqlite3_open_file_count;
extern int sqlite3_sync_count;
extern int sqlite3_fullsync_count;

static void ioerr(void){
  sqlite3_io_error_hit++;
  if( !sqlite3_io_error_benign ) sqlite3_io_error_hardhit++;
}
#define SimulateIOErrorBenign(X) sqlite3_io_error_benign=(X)
#define SimulateIOError(CODE) \
  if( (sqlite3_io_error_persist && sqlite3_io_error_hit) || sqlite3_io_error_pending--==1 ){ ioerr(); CODE; }
#define SimulateDiskfullError(CODE) \
  if( sqlite3_diskfull_pending ){ \
    if( sqlite3_diskfull_pending==1 ){ ioerr(); sqlite3_diskfull = 1; sqlite3_io_error_hit = 1; CODE; } \
    else sqlite3_diskfull_pending--; \
  }
#define Count(X,N) X += (N)
#else
#define SimulateIOErrorBenign(X)
#define SimulateIOError(CODE)
#define SimulateDiskfullError(CODE)
#define Count(X,N)
#endif

typedef struct BouleFile BouleFile;
struct BouleFile {
  sqlite3_file base;
  int i;          /* the file in Go */
  int dirSync;    /* its first sync is one of its directory, too */
};

static sqlite3_vfs *unixVfs;
static sqlite3_vfs bouleVfs;
static const sqlite3_io_methods methods;

static int bClose(sqlite3_file *pFile){
  BouleFile *p = (BouleFile*)pFile;
  int rc = bouleClose(p->i);
  pFile->pMethods = 0;
  Count(sqlite3_open_file_count, -1);
  return rc;
}

static int bRead(sqlite3_file *pFile, void *z, int n, sqlite3_int64 off){
  int rc = bouleRead(((BouleFile*)pFile)->i, z, n, off);
  SimulateIOError( return SQLITE_IOERR_READ );
  return rc;
}

static int bWrite(sqlite3_file *pFile, const void *z, int n, sqlite3_int64 off){
  int rc = bouleWrite(((BouleFile*)pFile)->i, (void*)z, n, off);
  SimulateIOError( return SQLITE_IOERR_WRITE );
  SimulateDiskfullError( return SQLITE_FULL );
  return rc;
}

static int bTruncate(sqlite3_file *pFile, sqlite3_int64 size){
  SimulateIOError( return SQLITE_IOERR_TRUNCATE );
  return bouleTruncate(((BouleFile*)pFile)->i, size);
}

static int bSync(sqlite3_file *pFile, int flags){
  BouleFile *p = (BouleFile*)pFile;
  int rc;
  SimulateDiskfullError( return SQLITE_FULL );
  if( (flags & 0x0F)==SQLITE_SYNC_FULL ){ Count(sqlite3_fullsync_count, 1); }
  Count(sqlite3_sync_count, 1);
  rc = bouleSync(p->i, flags);
  SimulateIOError( return SQLITE_IOERR_FSYNC );
  if( rc==SQLITE_OK && p->dirSync ){
    p->dirSync = 0;
    Count(sqlite3_sync_count, 1);
  }
  return rc;
}

static int bFileSize(sqlite3_file *pFile, sqlite3_int64 *pSize){
  long long size = 0;
  int rc = bouleSize(((BouleFile*)pFile)->i, &size);
  SimulateIOError( return SQLITE_IOERR_FSTAT );
  *pSize = size;
  return rc;
}

static int bLock(sqlite3_file *pFile, int eLock){
  return bouleLock(((BouleFile*)pFile)->i, eLock);
}

static int bUnlock(sqlite3_file *pFile, int eLock){
  return bouleUnlock(((BouleFile*)pFile)->i, eLock);
}

static int bCheckReservedLock(sqlite3_file *pFile, int *pOut){
  SimulateIOError( return SQLITE_IOERR_CHECKRESERVEDLOCK );
  return bouleCheckReserved(((BouleFile*)pFile)->i, pOut);
}

static int bFileControl(sqlite3_file *pFile, int op, void *pArg){
  int i = ((BouleFile*)pFile)->i;
  int rc;
  switch( op ){
    case SQLITE_FCNTL_VFSNAME:
      *(char**)pArg = sqlite3_mprintf("%s", bouleVfs.zName);
      return SQLITE_OK;
    case SQLITE_FCNTL_TEMPFILENAME: {
      sqlite3_int64 r;
      sqlite3_randomness(sizeof(r), &r);
      *(char**)pArg = sqlite3_mprintf("/tmp/etilqs_%llx", r);
      return SQLITE_OK;
    }
    case SQLITE_FCNTL_PRAGMA: {
      char **az = (char**)pArg;
      char *z = 0;
      rc = bouleControl(i, op, pArg);
      if( az[0] ){
        z = sqlite3_mprintf("%s", az[0]);
        free(az[0]);
        az[0] = z;
      }
      return rc;
    }
    case SQLITE_FCNTL_SIZE_HINT:
      SimulateIOErrorBenign(1);
      rc = bouleControl(i, op, pArg);
      SimulateIOErrorBenign(0);
      return rc;
  }
  return bouleControl(i, op, pArg);
}

static int bSectorSize(sqlite3_file *pFile){
  return bouleSectorSize(((BouleFile*)pFile)->i);
}

static int bDeviceCharacteristics(sqlite3_file *pFile){
  return bouleCharacteristics(((BouleFile*)pFile)->i);
}

/* No shared memory: SQLite is compiled without WAL. */
static const sqlite3_io_methods methods = {
  1, bClose, bRead, bWrite, bTruncate, bSync, bFileSize, bLock, bUnlock, bCheckReservedLock,
  bFileControl, bSectorSize, bDeviceCharacteristics,
};

/* The number of bytes of a name with the parameters of its URI, as SQLite lays them out. */
static int nameLength(const char *z, int flags){
  const char *end = z + strlen(z) + 1;
  const char *key;
  int i;
  if( (flags & SQLITE_OPEN_MAIN_DB)==0 || (flags & SQLITE_OPEN_URI)==0 ) return (int)(end-z);
  for(i=0; (key = sqlite3_uri_key(z, i))!=0; i++){
    end = key + strlen(key) + 1;
    end += strlen(end) + 1;
  }
  return (int)(end-z) + (i>0);
}

static int bOpen(sqlite3_vfs *pVfs, const char *z, sqlite3_file *pFile, int flags, int *pOut){
  const int journal = SQLITE_OPEN_MAIN_JOURNAL|SQLITE_OPEN_SUPER_JOURNAL|SQLITE_OPEN_WAL;
  BouleFile *p = (BouleFile*)pFile;
  int out = flags, rc;
  (void)pVfs;
  pFile->pMethods = 0;
  if( z==0 ){ SimulateIOError( return SQLITE_IOERR ); }
  rc = bouleOpen((void*)z, z ? nameLength(z, flags) : 0, flags, &p->i, &out);
  if( rc==SQLITE_OK ){
    pFile->pMethods = &methods;
    p->dirSync = (flags & journal) && (flags & SQLITE_OPEN_CREATE);
    Count(sqlite3_open_file_count, 1);
    if( pOut ) *pOut = out;
  }
  return rc;
}

static int bDelete(sqlite3_vfs *pVfs, const char *z, int dirSync){
  int rc;
  (void)pVfs;
  SimulateIOError( return SQLITE_IOERR_DELETE );
  rc = bouleDelete((void*)z, (int)strlen(z), dirSync);
  if( rc==SQLITE_OK && dirSync ){ Count(sqlite3_sync_count, 1); }
  return rc;
}

static int bAccess(sqlite3_vfs *pVfs, const char *z, int flags, int *pOut){
  (void)pVfs;
  SimulateIOError( return SQLITE_IOERR_ACCESS );
  return bouleAccess((void*)z, (int)strlen(z), flags, pOut);
}

static int bFullPathname(sqlite3_vfs *pVfs, const char *z, int n, char *out){
  (void)pVfs;
  return bouleFullPathname((void*)z, (int)strlen(z), n, out);
}

static void *bDlOpen(sqlite3_vfs *p, const char *z){ (void)p; return unixVfs->xDlOpen(unixVfs, z); }
static void bDlError(sqlite3_vfs *p, int n, char *z){ (void)p; unixVfs->xDlError(unixVfs, n, z); }
static void (*bDlSym(sqlite3_vfs *p, void *h, const char *z))(void){ (void)p; return unixVfs->xDlSym(unixVfs, h, z); }
static void bDlClose(sqlite3_vfs *p, void *h){ (void)p; unixVfs->xDlClose(unixVfs, h); }
static int bRandomness(sqlite3_vfs *p, int n, char *z){ (void)p; return unixVfs->xRandomness(unixVfs, n, z); }
static int bSleep(sqlite3_vfs *p, int n){ (void)p; return unixVfs->xSleep(unixVfs, n); }
static int bCurrentTime(sqlite3_vfs *p, double *t){ (void)p; return unixVfs->xCurrentTime(unixVfs, t); }
static int bGetLastError(sqlite3_vfs *p, int n, char *z){ (void)p; return unixVfs->xGetLastError(unixVfs, n, z); }
static int bCurrentTimeInt64(sqlite3_vfs *p, sqlite3_int64 *t){ (void)p; return unixVfs->xCurrentTimeInt64(unixVfs, t); }
static int bSetSystemCall(sqlite3_vfs *p, const char *z, sqlite3_syscall_ptr f){
  (void)p; return unixVfs->xSetSystemCall(unixVfs, z, f);
}
static sqlite3_syscall_ptr bGetSystemCall(sqlite3_vfs *p, const char *z){ (void)p; return unixVfs->xGetSystemCall(unixVfs, z); }
static const char *bNextSystemCall(sqlite3_vfs *p, const char *z){ (void)p; return unixVfs->xNextSystemCall(unixVfs, z); }

static sqlite3_vfs bouleVfs = {
  3, sizeof(BouleFile), 1024, 0, 0, 0,
  bOpen, bDelete, bAccess, bFullPathname, bDlOpen, bDlError, bDlSym, bDlClose, bRandomness, bSleep,
  bCurrentTime, bGetLastError, bCurrentTimeInt64, bSetSystemCall, bGetSystemCall, bNextSystemCall,
};

int boule_init(const char *unused){
  (void)unused;
  if( bouleVfs.zName==0 ) bouleVfs.zName = bouleStart();
  if( bouleVfs.zName==0 ) return SQLITE_OK;
  if( unixVfs==0 ) unixVfs = sqlite3_vfs_find(0);
  return sqlite3_vfs_register(&bouleVfs, 1);
}
