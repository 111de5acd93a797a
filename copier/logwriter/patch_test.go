package logwriter_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

// TestPatches changes a page at a time, so that what changed is patched now and then, by one writer after the other, while the
// database shrinks and grows.
func TestPatches(t *testing.T) {
	const chunks = 64
	r := newRig(t, logwriter.Options{})
	whole := random(chunks*manifest.ChunkSize, 1)
	r.append(whole)
	patches, longest := map[remotelog.Place]bool{}, 0
	size := len(whole)
	for i := range 120 {
		switch i {
		case 30, 90:
			r.restart()
		case 50:
			size = 20*manifest.ChunkSize + 5000 // shorter than what the patch has
		case 70:
			size = len(whole)
		}
		whole[(i*37%chunks)*manifest.ChunkSize+i%16*pageSize]++
		res := r.append(whole[:size]) // and reads it back
		e, _ := entryOf(t, r.s, res.Entry)
		if b := e.Blocks[0]; !b.Patch.IsZero() {
			patches[b.Patch] = true
		}
		if i != 70 { // then all that came back is new
			longest = max(longest, len(e.Blocks[0].Overrides))
		}
	}
	if len(patches) < 10 || longest > 12 {
		t.Errorf("%d patches, %d overrides in an entry", len(patches), longest)
	}
}

// A quiet is a replica of three index blocks, of which the second changed once, and the first all the time since, until the second was
// patched. Every chunk of the first that was written until then was replaced, so that nothing else is needed of the entry with the patch.
type quiet struct {
	*rig
	h        *huge
	versions map[int]int
	e        *remotelog.Entry // the newest
}

const (
	quietChunks = 2*manifest.BlockChunks + 100
	quietChunk  = manifest.BlockChunks + 7 // which changed
)

func (q *quiet) body(i int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%08d", i+q.versions[i]*1e6), manifest.ChunkSize/8)
}

// change changes a chunk and appends that.
func (q *quiet) change(i int) {
	q.t.Helper()
	q.versions[i]++
	q.h.m.Chunks[i] = manifest.Sum(q.body(i))
	q.h.at[q.h.m.Chunks[i]] = i
	q.h.m.Sequence++
	q.send()
}

func (q *quiet) send() {
	q.t.Helper()
	res, err := q.w.Append(q.t.Context(), q.h.m, q.h)
	check(q.t, err)
	q.e, _ = entryOf(q.t, q.s, res.Entry)
}

// sound reads what changed, and some more.
func (q *quiet) sound(what string) {
	q.t.Helper()
	got := newReading(q.t, q.s, q.e.Number)
	for _, i := range []int{0, 5, 6, 54, quietChunk - 1, quietChunk, quietChunk + 1, quietChunks - 1} {
		if !bytes.Equal(got.chunk(i), q.body(i)) {
			q.t.Errorf("%s: chunk %d restores to something else", what, i)
		}
	}
}

func newQuiet(t *testing.T) *quiet {
	q := &quiet{rig: newRig(t, logwriter.Options{}), versions: map[int]int{}}
	q.h = newHuge(quietChunks, q.body, 1)
	q.send()
	q.restart() // it does not have the block at hand
	if q.change(quietChunk); len(q.e.Blocks[1].Overrides) != 1 {
		t.Fatalf("%d overrides of what changed", len(q.e.Blocks[1].Overrides))
	}
	stored := q.e.Blocks[1].Stored
	for i := 0; len(q.e.Blocks[1].Overrides) > 0; i++ {
		if i == 40 {
			t.Fatal("what changed is repeated in every entry")
		}
		q.change(5 + i)
	}
	if b := q.e.Blocks[1]; b.Patch.IsZero() || b.Stored != stored {
		t.Fatal("the block was stored, not patched")
	}
	for i := range 50 {
		q.change(5 + i)
	}
	return q
}

func TestPatchOfAQuietBlock(t *testing.T) {
	q := newQuiet(t)
	q.sound("patched")
	q.restart() // a writer that knows nothing goes on from the patch
	q.change(quietChunk + 1)
	q.sound("after a restart")
}

// TestPatchIsPruned prunes all but the newest entry, which needs the patch.
func TestPatchIsPruned(t *testing.T) {
	q := newQuiet(t)
	r := pruneTwice(t, q.s, logwriter.Policy{Last: 1})
	if r.RemovedEntries == 0 || r.Carried == 0 {
		t.Errorf("%+v", r)
	}
	q.sound("pruned")
}

// TestPatchMoves has the entry with the patch compacted away.
func TestPatchMoves(t *testing.T) {
	q := newQuiet(t)
	before := q.e.Blocks[1].Patch
	freed := 0
	for i := 0; freed == 0; i++ {
		if i == 300 {
			t.Fatal("nothing was compacted")
		}
		q.change(100 + i)
		for more := q.w.CompactionDue(); more; {
			c, err := q.w.Compact(t.Context(), logwriter.Budget{})
			check(t, err)
			more, freed = c.More, freed+c.Freed
			q.e, _ = entryOf(t, q.s, c.Entry)
		}
	}
	if b := q.e.Blocks[1]; b.Patch.IsZero() || b.Patch.Object == before.Object {
		t.Errorf("the patch was at %v and is at %v", before, b.Patch)
	}
	q.sound("compacted")
}
