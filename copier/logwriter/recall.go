package logwriter

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/xxh3"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

// pagesMagic begins what Pages returns.
const pagesMagic = "BOULEPG2"

const sumSize = 16

// Pages returns what the Writer remembers of the pages that it uploaded, for a later Writer of the replica to recall: else that uploads
// whole chunks first. Some 290 bytes for each chunk. It has also what a last append uploaded that failed.
func (w *Writer) Pages() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := appendSalvage([]byte(pagesMagic), &w.salvaged)
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
	salvaged, b, ok := parseSalvage(b[len(pagesMagic):end])
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
	w.salvaged = salvaged
	return nil
}

func appendSum(b []byte, f manifest.Fingerprint) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, f.Hi), f.Lo)
}

func sumAt(b []byte) manifest.Fingerprint {
	return manifest.Fingerprint{Hi: binary.BigEndian.Uint64(b), Lo: binary.BigEndian.Uint64(b[8:])}
}
