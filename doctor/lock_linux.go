package doctor

import "golang.org/x/sys/unix"

// setLock takes locks that belong to the open file: closing another one of the same
// database, in this process, does not drop them.
const setLock = unix.F_OFD_SETLK
