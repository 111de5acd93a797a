package logwriter

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/xxh3"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

// What Pages returns begins with one of these.
const (
	pagesMagic    = "BOULEPG4"
	unsealedMagic = "BOULEPG3" // that of programs whose packs had no seal; the rest is the same
)

const sumSize = 16

// Pages returns what the Writer remembers of the pages that it uploaded, for a later Writer of the replica to recall: else that uploads
// whole chunks first. Some 290 bytes for each chunk. It has also what a last append uploaded that failed, and what helps
// to decide about compactions.
func (w *Writer) Pages() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.encode()
}

// encode is Pages by who has the lock.
func (w *Writer) encode() []byte {
	magic := pagesMagic
	if w.salvaged.unsealed {
		magic = unsealedMagic
	}
	b := appendGrowth([]byte(magic), &w.grown)
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
	magic := string(b[:min(len(b), len(pagesMagic))])
	if end < len(magic) || magic != pagesMagic && magic != unsealedMagic || binary.BigEndian.Uint64(b[end:]) != xxh3.Hash(b[:end]) {
		return corrupt("it is not what was saved")
	}
	p := &parser{b[len(magic):end], true}
	grown, known, salvaged := p.parseGrowth(), p.parseObjects(), p.parseSalvage()
	salvaged.unsealed = magic == unsealedMagic && salvaged.number > 0
	if !p.ok {
		return corrupt("it ends within what helps")
	}
	var all []knownChunk
	for len(p.rest) > 0 {
		k := knownChunk{int(p.number(manifest.MaxSize/manifest.ChunkSize - 1)), knownPages{sum: sumAt(p.bytes(sumSize))}}
		n := int(p.number(uint64(len(k.pages))))
		for i := range n {
			k.pages[i] = sumAt(p.bytes(sumSize))
		}
		if !p.ok {
			return corrupt("it ends within a chunk")
		}
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

func (p *parser) parseGrowth() growth {
	number := func() int64 { return int64(p.number(1 << 62)) }
	return growth{small: int(number()), bytes: number(), raw: number(), size: number(), need: number()}
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

func (p *parser) parseObjects() map[remotelog.ObjectID]object {
	objects := make(map[remotelog.ObjectID]object)
	for range p.number(maxObjects) {
		if !p.ok {
			break
		}
		id := remotelog.ObjectID{Entry: p.number(remotelog.MaxNumber), Part: uint32(p.number(1<<32 - 1)), Nonce: binary.BigEndian.Uint64(p.bytes(8))}
		objects[id] = object{size: int64(p.number(remotelog.MaxOffset)), pages: int(p.number(1 << 30)), bytes: int64(p.number(remotelog.MaxOffset))}
	}
	return objects
}

// A parser reads what was appended to a slice. After a failure, all that it reads is zero.
type parser struct {
	rest []byte
	ok   bool
}

// number reads a varint, which must not be more than most.
func (p *parser) number(most uint64) uint64 {
	n, size := binary.Uvarint(p.rest)
	if !p.ok || size <= 0 || n > most {
		p.ok = false
		return 0
	}
	p.rest = p.rest[size:]
	return n
}

// bytes reads n bytes.
func (p *parser) bytes(n int) []byte {
	if !p.ok || len(p.rest) < n {
		p.ok = false
		return make([]byte, n)
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

func appendSum(b []byte, f manifest.Fingerprint) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, f.Hi), f.Lo)
}

func sumAt(b []byte) manifest.Fingerprint {
	return manifest.Fingerprint{Hi: binary.BigEndian.Uint64(b), Lo: binary.BigEndian.Uint64(b[8:])}
}
