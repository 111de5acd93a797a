package logwriter

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

// maxSalvage is how many chunks of an append that failed are remembered: 64 GiB.
const maxSalvage = 1 << 20

// A salvage is where chunks are that an append put into packs before it failed: the next try need not upload them again. Packs of an
// entry that does not exist are not pruned, so the places are good as long as that number is the next.
type salvage struct {
	number uint64 // of the entry
	places map[manifest.Fingerprint]remotelog.Place
	// unsealed says that packs of that entry may have no seal: they are of an older program.
	unsealed bool
}

// A whole is a chunk that was made a frame of its own.
type whole struct {
	sum   manifest.Fingerprint
	place *remotelog.Place
}

// salvage remembers what was uploaded of an entry that could not be appended, or not yet.
func (a *appending) salvage() {
	a.f.mu.Lock()
	defer a.f.mu.Unlock()
	s := &a.w.salvaged
	if s.number != a.e.Number {
		*s = salvage{number: a.e.Number}
	}
	for _, c := range a.wholes {
		if a.f.stored[c.place.Object].size > 0 && len(s.places) < maxSalvage {
			if s.places == nil {
				s.places = make(map[manifest.Fingerprint]remotelog.Place)
			}
			s.places[c.sum] = *c.place
		}
	}
}

// keep offers what is known of packs that were uploaded to be kept, when there are more of them: the process may be killed.
func (a *appending) keep() {
	if a.w.o.Keep == nil {
		return
	}
	a.f.mu.Lock()
	n := len(a.f.stored)
	a.f.mu.Unlock()
	if n == a.kept {
		return
	}
	a.kept = n
	a.w.o.Keep(func() []byte {
		a.salvage()
		return a.w.encode()
	})
}

// salvageable forgets what cannot be used for an entry: what was made for another one, and what is not in the store any more.
func (w *Writer) salvageable(ctx context.Context, number uint64) error {
	s := &w.salvaged
	if s.number != number {
		*s = salvage{}
	}
	if len(s.places) == 0 {
		return nil
	}
	sizes := make(map[remotelog.ObjectID]int64)
	for info, err := range w.packs.List(ctx, remotelog.PackPrefix(w.name)+remotelog.ObjectID{Entry: number}.String()[:16]) {
		if err != nil {
			return fmt.Errorf("list what an earlier try has uploaded: %w", err)
		}
		if id, ok := remotelog.ParsePackKey(w.name, info.Key); ok {
			sizes[id] = info.Size
		}
	}
	for sum, place := range s.places {
		if place.End() > sizes[place.Object] {
			delete(s.places, sum)
		}
	}
	return nil
}

// appendSalvage appends the encoding of s.
func appendSalvage(b []byte, s *salvage) []byte {
	b = binary.AppendUvarint(b, s.number)
	b = binary.AppendUvarint(b, uint64(len(s.places)))
	for sum, p := range s.places {
		b = appendSum(b, sum)
		b = binary.AppendUvarint(b, uint64(p.Object.Part))
		b = binary.BigEndian.AppendUint64(b, p.Object.Nonce)
		b = binary.AppendUvarint(b, uint64(p.Offset))
		b = binary.AppendUvarint(b, uint64(p.Length))
	}
	return b
}

// parseSalvage is the reverse of appendSalvage.
func (p *parser) parseSalvage() (s salvage) {
	s.number = p.number(remotelog.MaxNumber)
	for range p.number(maxSalvage) {
		if !p.ok {
			break
		}
		sum := sumAt(p.bytes(sumSize))
		id := remotelog.ObjectID{Entry: s.number, Part: uint32(p.number(1<<32 - 1)), Nonce: binary.BigEndian.Uint64(p.bytes(8))}
		place := remotelog.Place{Object: id, Offset: int64(p.number(1 << 40)), Length: int64(p.number(1 << 30))}
		if id.Part == 0 {
			p.ok = false
		}
		if s.places == nil {
			s.places = make(map[manifest.Fingerprint]remotelog.Place)
		}
		s.places[sum] = place
	}
	return s
}
