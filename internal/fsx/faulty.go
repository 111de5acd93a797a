package fsx

// An Op names an operation of an FS to the function given to Faulty.
type Op string

// The operations.
const (
	OpReadFile  Op = "readfile"
	OpOpen      Op = "open"
	OpReadAt    Op = "readat"
	OpCreate    Op = "create"
	OpWrite     Op = "write"
	OpFileChmod Op = "fchmod"
	OpSync      Op = "sync"
	OpClose     Op = "close" // of a file being written
	OpStat      Op = "stat"
	OpReadDir   Op = "readdir"
	OpMkdir     Op = "mkdir"
	OpMkdirAll  Op = "mkdirall"
	OpLink      Op = "link"
	OpRename    Op = "rename"
	OpRenameDir Op = "renamedir"
	OpRemove    Op = "remove"
	OpRemoveAll Op = "removeall"
	OpChmod     Op = "chmod"
	OpLock      Op = "lock"
	OpSub       Op = "sub"
	OpSyncDir   Op = "syncdir"
)

// Faulty returns fs with every operation preceded by a call of inject, whose
// error the operation returns instead of happening. Names are those given to
// the outermost FS, also below a Sub.
func Faulty(fs FS, inject func(op Op, name string) error) FS { return fs }
