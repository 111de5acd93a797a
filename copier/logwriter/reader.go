package logwriter

import (
	"context"
	"errors"
	"fmt"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// reader is what a Writer needs to read.
type reader interface {
	// head returns the newest entry. Its entry is nil if there is none.
	head(ctx context.Context) (*head, error)
	// block returns the chunks of a block, which are not to be changed.
	block(ctx context.Context, e *remotelog.Entry, b int) ([]remotelog.Chunk, error)
	// chunk returns a chunk.
	chunk(ctx context.Context, e *remotelog.Entry, i int) ([]byte, error)
}

// plainReader stands in until there is a better one.
type plainReader struct {
	packs, entries store.Store
	name           string
}

func newReader(packs, entries store.Store, name string) reader {
	return &plainReader{packs, entries, name}
}

func (r *plainReader) entry(ctx context.Context, key string, number uint64) (*head, error) {
	b, info, err := store.ReadAll(ctx, r.entries, key, 1<<30)
	if err != nil {
		return nil, err
	}
	e, n, _, err := remotelog.DecodeEntry(b)
	if err == nil {
		err = e.Check(r.name, number)
	}
	if err != nil {
		return nil, err
	}
	return &head{entry: e, header: b[:n:n], time: info.ModTime}, nil
}

func (r *plainReader) head(ctx context.Context) (*head, error) {
	h, err := r.entry(ctx, remotelog.LatestKey(r.name), 0)
	if store.IsNotExist(err) {
		h, err = &head{}, nil
	}
	for err == nil {
		var next *head
		next, err = r.entry(ctx, remotelog.EntryKey(r.name, h.number()+1), h.number()+1)
		if store.IsNotExist(err) {
			return h, nil
		}
		if err == nil {
			h = next
		}
	}
	return nil, err
}

func (r *plainReader) frame(ctx context.Context, p remotelog.Place) (remotelog.Kind, []byte, error) {
	s, key, offset := r.packs, remotelog.PackKey(r.name, p.Object), p.Offset
	if p.Object.Part == 0 {
		s, key = r.entries, remotelog.EntryKey(r.name, p.Object.Entry)
		h, err := r.entry(ctx, key, p.Object.Entry)
		if err != nil {
			return 0, nil, err
		}
		offset += int64(len(h.header))
	}
	b, _, err := store.ReadAll(ctx, s, key, 1<<30)
	if err != nil {
		return 0, nil, err
	}
	if offset+p.Length > int64(len(b)) {
		return 0, nil, fmt.Errorf("%w: %v is not in it", remotelog.ErrCorrupt, p)
	}
	return remotelog.OpenFrame(b[offset : offset+p.Length])
}

func (r *plainReader) block(ctx context.Context, e *remotelog.Entry, b int) ([]remotelog.Chunk, error) {
	var stored []remotelog.Chunk
	if p := e.Blocks[b].Stored; !p.IsZero() {
		kind, raw, err := r.frame(ctx, p)
		if err == nil && kind != remotelog.KindIndex {
			err = errors.New("no index block")
		}
		if err == nil {
			stored, err = remotelog.DecodeIndex(raw)
		}
		if err != nil {
			return nil, err
		}
	}
	return e.Block(b, stored)
}

func (r *plainReader) chunk(ctx context.Context, e *remotelog.Entry, i int) ([]byte, error) {
	chunks, err := r.block(ctx, e, i/manifest.BlockChunks)
	if err != nil {
		return nil, err
	}
	return chunks[i%manifest.BlockChunks].Compose(int64(i), manifest.ChunkLen(e.Size, i), func(p remotelog.Place) (remotelog.Kind, []byte, error) {
		return r.frame(ctx, p)
	})
}
