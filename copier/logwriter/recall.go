package logwriter

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/xxh3"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

// pagesMagic begins what Pages returns.
const pagesMagic = "BOULEPG3"

const sumSize = 16

// Pages returns what the Writer remembers of the pages that it uploaded, for a later Writer of the replica to recall: else that uploads
// whole chunks first. Some 290 bytes for each chunk. It has also what a last append uploaded that failed, and what helps
// to decide about compactions.
func (w *Writer) Pages() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := appendGrowth([]byte(pagesMagic), &w.grown)
	b = appendObjects(b, w.known)
	b = appendSalvage(b, &w.salvaged)
	for chunk, k := range w.pages.chunks.All() { // the one used last comes last
		n := len(k.pages)
		for n > 0 && k.pages[n-1] == (manifest.Fingerprint{}) {
			n--
		}
		b = appendSum(binary.AppendUvarint(b, uint64(chunk)), k.sum)
		b = append(b, byte(n))
		for _, sum := range k.pages[:n] {
			b = appendSum(b, sum)
		}
	}
	return binary.BigEndian.AppendUint64(b, xxh3.Hash(b))
}

// Recall adds what Pages returned once, of this replica or another: what is not true any more is only of no use. It fails with
// remotelog.ErrCorrupt, and adds nothing, if b is anything else.
func (w *Writer) Recall(b []byte) error {
	corrupt := func(what string) error {
		return fmt.Errorf("recall pages: %w: %s", remotelog.ErrCorrupt, what)
	}
	end := len(b) - 8
	if end < len(pagesMagic) || string(b[:len(pagesMagic)]) != pagesMagic || binary.BigEndian.Uint64(b[end:]) != xxh3.Hash(b[:end]) {
		return corrupt("it is not what was saved")
	}
	grown, b, ok := parseGrowth(b[len(pagesMagic):end])
	var known map[remotelog.ObjectID]object
	if ok {
		known, b, ok = parseObjects(b)
	}
	var salvaged salvage
	if ok {
		salvaged, b, ok = parseSalvage(b)
	}
	if !ok {
		return corrupt("it ends within what was uploaded")
	}
	var all []knownChunk
	for len(b) > 0 {
		number, size := binary.Uvarint(b)
		if size <= 0 || number >= manifest.MaxSize/manifest.ChunkSize || len(b) < size+sumSize+1 {
			return corrupt("it ends within a chunk")
		}
		k := knownChunk{int(number), knownPages{sum: sumAt(b[size:])}}
		n := int(b[size+sumSize])
		b = b[size+sumSize+1:]
		if n > len(k.pages) || len(b) < n*sumSize {
			return corrupt("it ends within the pages of a chunk")
		}
		for i := range n {
			k.pages[i] = sumAt(b[i*sumSize:])
		}
		b = b[n*sumSize:]
		all = append(all, k)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range all {
		w.pages.set(&all[i])
	}
	w.salvaged, w.grown, w.known = salvaged, grown, known
	return nil
}

func appendGrowth(b []byte, g *growth) []byte {
	for _, n := range []int64{int64(g.small), g.bytes, g.raw, g.size, g.need} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return b
}

// parseGrowth returns what appendGrowth appended, and the rest of b.
func parseGrowth(b []byte) (g growth, rest []byte, ok bool) {
	var all [5]int64
	for i := range all {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > 1<<62 {
			return growth{}, nil, false
		}
		all[i], b = int64(n), b[size:]
	}
	return growth{small: int(all[0]), bytes: all[1], raw: all[2], size: all[3], need: all[4]}, b, true
}

// maxObjects is of how many objects is remembered what they have.
const maxObjects = 1 << 16

func appendObjects(b []byte, objects map[remotelog.ObjectID]object) []byte {
	n := min(len(objects), maxObjects)
	b = binary.AppendUvarint(b, uint64(n))
	for id, o := range objects {
		if n--; n < 0 {
			break
		}
		b = binary.AppendUvarint(binary.AppendUvarint(b, id.Entry), uint64(id.Part))
		b = binary.BigEndian.AppendUint64(b, id.Nonce)
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(o.size)), uint64(o.pages))
		b = binary.AppendUvarint(b, uint64(o.bytes))
	}
	return b
}

// parseObjects returns what appendObjects appended, and the rest of b.
func parseObjects(b []byte) (objects map[remotelog.ObjectID]object, rest []byte, ok bool) {
	ok = true
	number := func(most uint64) uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > most {
			ok = false
			return 0
		}
		b = b[size:]
		return n
	}
	objects = make(map[remotelog.ObjectID]object)
	for range number(maxObjects) {
		id := remotelog.ObjectID{Entry: number(remotelog.MaxNumber), Part: uint32(number(1<<32 - 1))}
		if !ok || len(b) < 8 {
			return nil, nil, false
		}
		id.Nonce, b = binary.BigEndian.Uint64(b), b[8:]
		objects[id] = object{size: int64(number(remotelog.MaxOffset)), pages: int(number(1 << 30)), bytes: int64(number(remotelog.MaxOffset))}
	}
	return objects, b, ok
}

func appendSum(b []byte, f manifest.Fingerprint) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, f.Hi), f.Lo)
}

func sumAt(b []byte) manifest.Fingerprint {
	return manifest.Fingerprint{Hi: binary.BigEndian.Uint64(b), Lo: binary.BigEndian.Uint64(b[8:])}
}
