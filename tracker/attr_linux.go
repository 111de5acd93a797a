package tracker

import "golang.org/x/sys/unix"

const errNoData = unix.ENODATA
