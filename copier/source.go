package copier

import (
	"context"

	"github.com/boule-db/boule/spool"
)

// A source is what the copier needs of one spool and its tap.
type source interface {
	Open() (consumer, error) // fs.ErrNotExist when there is no such spool
	Tap(name string) ([]byte, error)
	WriteTap(name string, data []byte) error
}

// A consumer takes the consumer's steps in a spool; see [spool.Consumer].
type consumer interface {
	Metadata() (spool.Metadata, error)
	Tidy() error
	TakeReady() (batch, error)
	Busy() (bool, error)
	StagedChunks() ([]string, error)
	ReadStagedChunk(name string) ([]byte, error)
	RemoveStagedChunk(name string) error
	StagedManifests() ([]stagedManifest, error)
	Quiescent() (bool, error)
	Unchanged(m stagedManifest) (bool, error)
	LockMeta(ctx context.Context) (unlock func(), err error)
	Close() error
}

// A batch is a snapshot being consumed; see [spool.Batch].
type batch interface {
	Chunks() ([]string, error)
	ReadChunk(name string) ([]byte, error)
	RemoveChunk(name string) error
	ChunksDone() error
	Manifests() ([]string, error)
	ReadManifest(name string) ([]byte, error)
	RemoveManifest(name string) error
	Finish() error
	Close() error
}

// A stagedManifest is a staged manifest held open.
type stagedManifest struct {
	name string
	file interface {
		Bytes() ([]byte, error)
		Close() error
	}
}

// rootSource is one spool of a root.
type rootSource struct {
	root *spool.Root
	key  spool.Key
}

func (s rootSource) Open() (consumer, error) {
	c, err := s.root.Consumer(s.key)
	if err != nil {
		return nil, err
	}
	return spoolConsumer{c}, nil
}

func (s rootSource) Tap(name string) ([]byte, error) {
	data, _, err := s.root.Tap(s.key.Target, name)
	return data, err
}

func (s rootSource) WriteTap(name string, data []byte) error {
	return s.root.WriteTap(s.key.Target, name, data)
}

// spoolConsumer makes a consumer of a [spool.Consumer].
type spoolConsumer struct{ *spool.Consumer }

func (c spoolConsumer) TakeReady() (batch, error) {
	b, err := c.Consumer.TakeReady()
	if b == nil || err != nil {
		return nil, err
	}
	return b, nil
}

func (c spoolConsumer) StagedManifests() ([]stagedManifest, error) {
	files, err := c.Consumer.StagedManifests()
	if err != nil {
		return nil, err
	}
	all := make([]stagedManifest, len(files))
	for i, f := range files {
		all[i] = stagedManifest{name: f.Name, file: f}
	}
	return all, nil
}

func (c spoolConsumer) Unchanged(m stagedManifest) (bool, error) {
	return c.Consumer.Unchanged(m.file.(*spool.StagedManifest))
}
