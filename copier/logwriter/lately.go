package logwriter

import (
	"slices"

	"github.com/boule-db/boule/remotelog"
)

// How many bytes a Writer remembers of what it appended, and of how long entries: those of a minute of small commits.
const (
	latelyMost  = 256 << 10
	latelyEntry = 16 << 10
)

// A lately is what was appended last, so that small entries need not be read to be put into bundles. The zero value is nothing.
type lately struct {
	first uint64    // number of the first
	parts []inlined // of successive entries; without frames if they were too long
	bytes int
}

// add remembers the frames of an entry.
func (l *lately) add(e *remotelog.Entry, frames []byte) {
	if e.Number != l.first+uint64(len(l.parts)) {
		*l = lately{first: e.Number} // others have appended meanwhile
	}
	part := inlined{sequence: e.Sequence, bundles: len(e.Own()) > 0}
	if len(frames) <= latelyEntry {
		part.frames = append(make([]byte, 0, len(frames)), frames...) // not nil
	}
	l.parts, l.bytes = append(l.parts, part), l.bytes+len(part.frames)
	n := 0
	for ; l.bytes > latelyMost || len(l.parts)-n > bundleBack; n++ {
		l.bytes -= len(l.parts[n].frames)
	}
	l.first, l.parts = l.first+uint64(n), slices.Delete(l.parts, 0, n)
}

// get returns what is known of an entry. False: it has to be read.
func (l *lately) get(number uint64) (inlined, bool) {
	if number < l.first || number-l.first >= uint64(len(l.parts)) {
		return inlined{}, false
	}
	part := l.parts[number-l.first]
	return part, part.frames != nil
}
