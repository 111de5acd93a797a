package spool

import "github.com/boule-db/boule/manifest"

// A Producer is the tracker's side of one spool. Its user holds at least a SHARED lock on the
// database from [Producer.Staged] to the end of a snapshot. It is not safe for concurrent use;
// several Producers, in any processes, may share one spool.
type Producer struct{}

// Key returns the key of the spool.
func (p *Producer) Key() Key { panic("todo") }

// Staged begins a snapshot: it makes sure that the spool is there, and returns the staged
// manifest, or fs.ErrNotExist.
func (p *Producer) Staged(name string) ([]byte, error) { panic("todo") }

// StageChunk makes the chunk present in the staging area. An existing one is left alone.
func (p *Producer) StageChunk(f manifest.Fingerprint, data []byte) error { panic("todo") }

// StageManifest replaces the staged manifest.
func (p *Producer) StageManifest(name string, data []byte) error { panic("todo") }

// DropStaged forgets the staged manifest: the next snapshot is full.
func (p *Producer) DropStaged(name string) error { panic("todo") }

// PublishReady makes what is staged the ready snapshot, unless there is one.
func (p *Producer) PublishReady(name string, refs []manifest.Fingerprint) (published bool, err error) {
	panic("todo")
}

// CollectGarbage removes staged chunks that are not needed any more.
func (p *Producer) CollectGarbage(published bool, refs []manifest.Fingerprint, copied int) error {
	panic("todo")
}

// CleanScratch removes what interrupted producers left.
func (p *Producer) CleanScratch() error { panic("todo") }

// Close releases the Producer.
func (p *Producer) Close() error { panic("todo") }
