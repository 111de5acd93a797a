//go:build linux

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// A report is what a run counts, for people and for programs.
type report struct {
	Seed     uint64         `json:"seed"`
	Duration string         `json:"duration"`
	Rounds   int            `json:"rounds"`
	Commits  map[string]int `json:"commits"` // by journal mode (FOREIGN: by the stock program) and kind
	Rolled   int            `json:"rolled_back"`
	States   int            `json:"states"` // different ones that were committed and read
	Reads    int            `json:"reads"`
	Samples  int            `json:"samples"` // states of which a reader took fingerprints of the file
	Faults   map[string]int `json:"faults"`
	// What SQLite itself answers to such faults.
	Tolerated map[string]int `json:"tolerated"`

	Manifests map[string]int `json:"manifests"` // uploaded, by store
	Distinct  int            `json:"distinct"`  // of manifests and entries, by content; each was restored
	Missed    int            `json:"missed"`    // versions in a directory, replaced before they could be kept
	Verified  int            `json:"verified"`  // manifests restored, sound, and in a state that was read

	Entries         map[string]int `json:"entries"` // of logs, by store
	Logs            int            `json:"logs"`
	Packs           int            `json:"packs"`
	Unused          int            `json:"unused_packs"`     // that no entry names, since its writer was killed or lost
	EntriesVerified int            `json:"entries_verified"` // as manifests are

	Compared  int `json:"compared"`  // of these, with the fingerprints that a reader took
	Identical int `json:"identical"` // of these, in every byte; the others in all but free pages
	Restored  int `json:"restored"`  // databases restored after a flush and equal to the source
	Databases int `json:"databases"` // databases at the ends of rounds

	Divergences []string `json:"divergences"`
	Evidence    string   `json:"evidence,omitempty"`
}

func newReport(seed uint64) *report {
	return &report{
		Seed: seed, Commits: map[string]int{}, Faults: map[string]int{}, Tolerated: map[string]int{},
		Manifests: map[string]int{}, Entries: map[string]int{}, Divergences: []string{},
	}
}

func addAll(to, from map[string]int) {
	for k, n := range from {
		to[k] += n
	}
}

// total sums what stands before the slash.
func total(m map[string]int) map[string]int {
	t := map[string]int{}
	for k, n := range m {
		before, _, _ := strings.Cut(k, "/")
		t[before] += n
	}
	return t
}

func list(m map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(parts, ", ")
}

func sum(m map[string]int) (n int) {
	for _, c := range m {
		n += c
	}
	return n
}

// print writes the report for people.
func (r *report) print(w io.Writer) {
	kinds := map[string]int{}
	for k, n := range r.Commits {
		_, kind, ok := strings.Cut(k, "/")
		if !ok {
			kind = k
		}
		kinds[kind] += n
	}
	fmt.Fprintf(w, "seed %d, %s, %d rounds, %d databases at their ends\n", r.Seed, r.Duration, r.Rounds, r.Databases)
	fmt.Fprintf(w, "commits    %d: %s\n", sum(r.Commits), list(total(r.Commits)))
	fmt.Fprintf(w, "           %s\n", list(kinds))
	fmt.Fprintf(w, "states     %d different ones were read; %d times by others than who committed; %d rolled back; %d files sampled under SHARED\n", r.States, r.Reads, r.Rolled, r.Samples)
	fmt.Fprintf(w, "faults     %d: %s\n", sum(r.Faults), list(r.Faults))
	fmt.Fprintf(w, "tolerated  %d: %s\n", sum(r.Tolerated), list(r.Tolerated))
	fmt.Fprintf(w, "manifests  %d uploaded: %s; %d verified; %d replaced before they could be kept\n",
		sum(r.Manifests), list(r.Manifests), r.Verified, r.Missed)
	fmt.Fprintf(w, "entries    %d in %d logs: %s; %d verified; %d packs, of which no entry names %d\n",
		sum(r.Entries), r.Logs, list(r.Entries), r.EntriesVerified, r.Packs, r.Unused)
	fmt.Fprintf(w, "contents   %d different ones; %d in a state whose file a reader had sampled: %d the same in every byte, %d in all but free pages\n", r.Distinct, r.Compared, r.Identical, r.Compared-r.Identical)
	fmt.Fprintf(w, "restored   %d after a flush, equal to their sources byte for byte\n", r.Restored)
	fmt.Fprintf(w, "divergences %d\n", len(r.Divergences))
	for _, d := range r.Divergences {
		fmt.Fprintf(w, "  %s\n", d)
	}
	if r.Evidence != "" {
		fmt.Fprintf(w, "evidence in %s\n", r.Evidence)
	}
}

// A progress shows on a terminal that the run goes on.
type progress struct {
	w     io.Writer // nil: nowhere
	until time.Time
}

func (p *progress) show(r *report, what string) {
	if p.w == nil {
		return
	}
	fmt.Fprintf(p.w, "\r\x1b[K%v left, round %d, %s; %d commits, %d manifests and entries verified, %d divergences",
		max(time.Until(p.until), 0).Round(time.Second), r.Rounds+1, what, sum(r.Commits), r.Verified+r.EntriesVerified, len(r.Divergences))
}

func (p *progress) end() {
	if p.w != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
