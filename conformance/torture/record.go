//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A record is the file in which one process notes what it saw. Each line is one
// write, so that it is there whole or not at all, also when the process is killed.
//
//	S <state> <what> .     committed: read under a lock; what says who committed it, "read" that it was only read
//	R <state> <what> .     rolled back
//	B <state> <header> <whole> <live> .   of a file that was read under SHARED in that state
//	T <code> .             an error that the faults explain
//	E <text>               one that they do not
type record struct{ f *os.File }

func openRecord(name string) (*record, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &record{f}, nil
}

func (r *record) line(format string, args ...any) error {
	_, err := fmt.Fprintf(r.f, format+"\n", args...) // one write
	return err
}

func fields(s state) string {
	return fmt.Sprintf("%d %d %d %d %d %d", s.Gen, s.N, s.ID, s.Cnt, s.Sum, s.Bytes)
}

func (r *record) seen(s state, what string) error { return r.line("S %s %s .", fields(s), what) }

func (r *record) rolledBack(s state, what string) error { return r.line("R %s %s .", fields(s), what) }
func (r *record) tolerated(what string) error           { return r.line("T %s .", what) }
func (r *record) failed(err error) error {
	return r.line("E %s", strings.ReplaceAll(err.Error(), "\n", "; "))
}

func (r *record) sampled(s state, p prints) error {
	return r.line("B %s %s %s %s .", fields(s), p.header, p.whole, p.live)
}

// A knowledge is what all records of a round say together.
type knowledge struct {
	seen       map[state]string    // who committed it, as far as it is known
	rolledBack map[state]string    // by whom
	samples    map[sample][]prints // of files in a state and with a header
	commits    map[string]int      // by what
	rollbacks  int
	reads      int // states read by a process other than the one that committed
	tolerated  map[string]int
	failed     []string
}

type sample struct {
	state
	header string
}

func newKnowledge() *knowledge {
	return &knowledge{
		seen: map[state]string{}, rolledBack: map[state]string{}, samples: map[sample][]prints{},
		commits: map[string]int{}, tolerated: map[string]int{},
	}
}

// readRecords reads all records in a directory.
func readRecords(dir string) (*knowledge, error) {
	k := newKnowledge()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		body, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		sc := bufio.NewScanner(bytes.NewReader(body))
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			k.add(filepath.Base(name), sc.Text())
		}
		if err := sc.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return k, nil
}

// add takes in one line. What has not the form of one (what else the stock
// program prints, or a line that it did not come to complete) is passed over.
func (k *knowledge) add(from, line string) {
	if what, ok := strings.CutPrefix(line, "E "); ok {
		k.failed = append(k.failed, from+": "+what)
		return
	}
	f := strings.Fields(line)
	if len(f) < 3 || f[len(f)-1] != "." {
		return
	}
	if f[0] == "T" {
		k.tolerated[f[1]]++
		return
	}
	if len(f) < 9 {
		return
	}
	var s state
	for i, p := range []*int64{&s.Gen, &s.N, &s.ID, &s.Cnt, &s.Sum, &s.Bytes} {
		n, err := strconv.ParseInt(f[1+i], 10, 64)
		if err != nil {
			return
		}
		*p = n
	}
	switch {
	case f[0] == "S" && f[7] == "read":
		k.reads++
		if _, known := k.seen[s]; !known {
			k.seen[s] = f[7]
		}
	case f[0] == "S":
		k.commits[f[7]]++
		k.seen[s] = f[7]
	case f[0] == "R":
		k.rollbacks++
		k.rolledBack[s] = f[7]
	case f[0] == "B" && len(f) == 11:
		at := sample{s, f[7]}
		if p := (prints{header: f[7], whole: f[8], live: f[9]}); !slices.Contains(k.samples[at], p) {
			k.samples[at] = append(k.samples[at], p)
		}
	}
}
