package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A counter is one of those that all processes of a run share.
type counter int

const (
	processes counter = iota
	transactions
	validated        // snapshots compared with the database
	uploads          // snapshots uploaded, and restored from the store alone
	superseded       // uploads of files that others have taken the place of
	excusedEmpty     // transactions that left an empty database
	excusedHot       // or a journal to be rolled back
	excusedWAL       // or a database that says that it is in WAL mode
	excusedUntracked // opened with nolock or immutable
	delayed          // to be covered by a later snapshot
	violations
	counters

	noExcuse counter = -1
)

var counterNames = [counters]string{
	"processes", "transactions", "validated", "uploads", "superseded", "excused_empty", "excused_hot", "excused_wal",
	"excused_untracked", "delayed", "violations",
}

// counts is shared memory: processes that are killed have counted, too.
var counts *[counters]atomic.Uint64

func openCounts(dir string) error {
	fd, err := unix.Open(filepath.Join(dir, "counts"), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o666)
	if err != nil {
		return fmt.Errorf("open counts: %w", err)
	}
	defer unix.Close(fd)
	size := int(unsafe.Sizeof(*counts))
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return fmt.Errorf("size counts: %w", err)
	}
	mem, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map counts: %w", err)
	}
	counts = (*[counters]atomic.Uint64)(unsafe.Pointer(&mem[0]))
	return nil
}

func count(c counter) { counts[c].Add(1) }

// violation says what is wrong where everybody sees it, and ends the process.
func violation(format string, args ...any) {
	count(violations)
	text := fmt.Sprintf(format, args...)
	line := fmt.Sprintf("%s pid %d in %s (%s): %s\n", time.Now().Format(time.RFC3339), os.Getpid(), cwd(), strings.Join(os.Args, " "), text)
	if f, err := os.OpenFile(filepath.Join(testDir, "violations"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666); err == nil {
		_, _ = f.WriteString(line)
		_ = f.Close()
	}
	abort("VIOLATION: " + text)
}

func cwd() string {
	dir, _ := os.Getwd()
	return dir
}

func abort(text string) {
	fmt.Fprintln(os.Stderr, "boule: "+text)
	_ = unix.Kill(os.Getpid(), unix.SIGABRT)
	os.Exit(99) // should that not have ended it
}
