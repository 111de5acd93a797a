package instance

import (
	"bytes"
	"fmt"
	"strconv"
)

// bootTime finds the boot time in /proc/stat.
func bootTime(stat []byte) (int64, error) {
	for line := range bytes.Lines(stat) {
		if rest, ok := bytes.CutPrefix(line, []byte("btime ")); ok {
			secs, err := strconv.ParseInt(string(bytes.TrimSpace(rest)), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%w: btime in /proc/stat: %w", ErrSyntax, err)
			}
			return secs, nil
		}
	}
	return 0, fmt.Errorf("%w: no btime in /proc/stat", ErrSyntax)
}

// startTick finds the process's start, in clock ticks after boot, in
// /proc/PID/stat: field 22. Field 2, the program's name in parentheses, may hold
// anything, parentheses and spaces included, so count from the last one.
func startTick(stat []byte) (uint64, error) {
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 {
		return 0, fmt.Errorf("%w: no program name in /proc/PID/stat", ErrSyntax)
	}
	fields := bytes.Fields(stat[i+1:])
	const start = 22 - 3 // the first of fields is number 3
	if len(fields) <= start {
		return 0, fmt.Errorf("%w: /proc/PID/stat ends before the start time", ErrSyntax)
	}
	tick, err := strconv.ParseUint(string(fields[start]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: start time in /proc/PID/stat: %w", ErrSyntax, err)
	}
	return tick, nil
}
