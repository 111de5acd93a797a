package logwriter

import (
	"context"
	"sync"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// A packSums is what is known of the packs of a copy. The zero value is ready to use.
type packSums struct {
	mu   sync.Mutex
	sums map[remotelog.ObjectID]packSum
}

type packSum struct {
	size int64                // with the seal, if it has one
	sum  manifest.Fingerprint // without; zero if it was there before
}

func (p *packSums) add(id remotelog.ObjectID, s packSum) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sums == nil {
		p.sums = map[remotelog.ObjectID]packSum{}
	}
	p.sums[id] = s
}

// has says whether the copy has a bundle as it was made.
func (p *packSums) has(u *remotelog.Bundle) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.sums[u.Pack]
	extra := s.size - u.Size()
	return ok && (extra == 0 || extra == remotelog.SealSize) && (s.sum == u.Sum || s.sum == manifest.Fingerprint{})
}

// isBundle says whether a pack is a bundle.
func (c *copying) isBundle(ctx context.Context, pack remotelog.ObjectID) bool {
	h, err := c.source.Entry(ctx, pack.Entry)
	if err != nil {
		return false
	}
	for _, u := range h.Entry.Own() {
		if u.Pack == pack {
			return true
		}
	}
	return false
}

// copyBundles makes those bundles of an entry anew that the source has not, or not as they were made. If the frames are not there either,
// for they are pruned or damaged, it leaves it at that.
func (c *copying) copyBundles(ctx context.Context, e *remotelog.Entry) error {
	for _, u := range e.Own() {
		if c.sums.has(&u) {
			continue
		}
		if anew := c.bundle(ctx, &u); anew != nil {
			if err := c.putPack(ctx, remotelog.PackKey(c.name, u.Pack), anew); err != nil {
				return err
			}
		}
	}
	return nil
}

// bundle makes a bundle anew from the entries of the source, or returns nil.
func (c *copying) bundle(ctx context.Context, u *remotelog.Bundle) []byte {
	body := make([]byte, 0, u.Size())
	for i, n := range u.Lengths {
		if n == 0 {
			continue
		}
		b, _, err := store.ReadAll(ctx, c.from.Entries, remotelog.EntryKey(c.name, u.First+uint64(i)), remotelog.MaxOffset)
		if err != nil {
			return nil
		}
		_, header, _, err := remotelog.DecodeEntry(b)
		if err != nil || int64(len(b)-header) != n {
			return nil
		}
		body = append(body, b[header:]...)
	}
	if manifest.Sum(body) != u.Sum {
		return nil
	}
	if c.newest.HasSeal(u.Pack) {
		body = remotelog.AppendSeal(body, c.name, u.Pack)
	}
	return body
}
