package copier

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store"
)

// maxStoredBlock is more than the compressed form of any index block has.
const maxStoredBlock = manifest.ChunkSize + 4096

// rememberBlocks is how many index blocks are remembered: the one that a manifest names now is
// that of the last one in the store when the next is compared with it.
const rememberBlocks = 16

// A blockMemory remembers the content of the index blocks used last. That says nothing of where
// they are.
type blockMemory struct {
	mu     sync.Mutex // guards what follows
	recent []rememberedBlock
}

type rememberedBlock struct {
	f    manifest.Fingerprint
	data []byte // never changed
}

func (m *blockMemory) get(f manifest.Fingerprint) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.recent, func(b rememberedBlock) bool { return b.f == f })
	if i < 0 {
		return nil
	}
	b := m.recent[i]
	m.recent = append(slices.Delete(m.recent, i, i+1), b)
	return b.data
}

func (m *blockMemory) add(f manifest.Fingerprint, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(m.recent, func(b rememberedBlock) bool { return b.f == f }) {
		return
	}
	if len(m.recent) >= rememberBlocks {
		m.recent = slices.Delete(m.recent, 0, 1)
	}
	m.recent = append(m.recent, rememberedBlock{f, data})
}

// blocks returns a reader of the index blocks that manifests of the spool name: they are in the
// spool, in a directory of chunks that from reads, which may be nil, or in the store. It fails
// with a *missingError if a block is nowhere, or nowhere intact.
func (p *pass) blocks(ctx context.Context, from func(name string) ([]byte, error)) manifest.BlockReader {
	return func(f manifest.Fingerprint) ([]byte, error) {
		if data := p.c.blocks.get(f); data != nil {
			return data, nil
		}
		data, err := p.readBlock(ctx, f, from)
		if err != nil {
			return nil, err
		}
		p.c.blocks.add(f, data)
		return data, nil
	}
}

func (p *pass) readBlock(ctx context.Context, f manifest.Fingerprint, from func(name string) ([]byte, error)) ([]byte, error) {
	name := f.ChunkName()
	data, err := p.cons.ReadIndexBlock(f)
	if elsewhere(err) && from != nil {
		if data, err = from(name); err == nil && manifest.CheckBlock(f, data) != nil {
			err = spool.ErrCorrupt
		}
	}
	if err == nil {
		return data, nil
	}
	if !elsewhere(err) {
		return nil, fmt.Errorf("read index block %s: %w", name, err)
	}
	generation := p.e.remote.generation.Load()
	cl, err := p.stores(ctx)
	if err != nil {
		return nil, err
	}
	body, err := p.get(ctx, cl.Chunks, name, maxStoredBlock)
	switch {
	case err != nil:
		return nil, fmt.Errorf("get index block %s: %w", name, err)
	case body == nil:
		return nil, &missingError{fmt.Sprintf("index block %s is not in %s", name, cl.Chunks)}
	}
	data, err = manifest.DecompressChunk(body, f)
	if err == nil {
		err = manifest.CheckBlock(f, data)
	}
	if err != nil {
		return nil, &missingError{fmt.Sprintf("index block %s is damaged in %s: %s", name, cl.Chunks, err.Error())}
	}
	p.c.recent.add(generation, f)
	return data, nil
}

// elsewhere says that what was not found, or not intact, may be found in another place.
func elsewhere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, spool.ErrCorrupt)
}

// get returns an object; nil if there is none. One that is longer than limit is cut.
func (p *pass) get(ctx context.Context, s store.Store, key string, limit int64) (body []byte, err error) {
	p.count(func(n *counters) { n.get.Add(1) })
	err = p.request(ctx, func(ctx context.Context) error {
		data, _, err := store.ReadAll(ctx, s, key, limit)
		switch {
		case errors.Is(err, store.ErrNotExist) && !errors.Is(err, store.ErrNoBucket):
			return nil
		case errors.Is(err, store.ErrTooLarge):
			body = []byte{} // whatever it is
			return nil
		}
		body = data
		return err
	})
	return body, err
}
