package copier

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store"
)

// maxStoredBlock is more than the compressed form of any index block has.
const maxStoredBlock = manifest.ChunkSize + 4096

// rememberBlocks is of how many index blocks the content is remembered, which says nothing of where they
// are: the one that a manifest names now is that of the last one in the store when the next is
// compared with it.
const rememberBlocks = 16

// blocks returns a reader of the index blocks that manifests of the spool name: they are in the
// spool, in a directory of chunks that from reads, which may be nil, or in the store. It fails
// with a *missingError if a block is nowhere, or nowhere intact.
func (p *pass) blocks(ctx context.Context, from func(name string) ([]byte, error)) manifest.BlockReader {
	return func(f manifest.Fingerprint) ([]byte, error) {
		if data, ok := p.c.blocks.Get(f); ok {
			return data, nil
		}
		data, err := p.readBlock(ctx, f, from)
		if err != nil {
			return nil, err
		}
		p.c.blocks.Add(f, data)
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
