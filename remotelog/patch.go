package remotelog

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/boule-db/boule/manifest"
)

// AppendPatch appends the raw content of a frame of kind KindPatch: 1 to manifest.BlockChunks chunks of an index block, by
// ascending place. It panics if that is not so or if a chunk breaks a rule of the format: each page in exactly one layer, all
// of them there, and only the last chunk short.
func AppendPatch(b []byte, patch []Override) []byte {
	if err := checkPatch(patch); err != nil {
		panic(fmt.Sprintf("remotelog: AppendPatch: %v", err))
	}
	return appendPatch(b, patch)
}

func appendPatch(b []byte, patch []Override) []byte {
	chunks := patchChunks(patch)
	base := newest(chunks)
	b = protowire.AppendVarint(b, base)
	b = protowire.AppendVarint(b, uint64(len(patch)))
	return appendColumns(appendSteps(b, patch), base, nil, chunks)
}

func patchChunks(patch []Override) []Chunk {
	chunks := make([]Chunk, len(patch))
	for i := range patch {
		chunks[i] = patch[i].Chunk
	}
	return chunks
}

// DecodePatch is the reverse of AppendPatch. It fails with [ErrCorrupt].
func DecodePatch(raw []byte) ([]Override, error) {
	if len(raw) > MaxIndex {
		return nil, fmt.Errorf("decode patch: %w", corrupt("it has %d bytes", len(raw)))
	}
	c := cursor{rest: raw}
	base := c.uint(MaxNumber)
	n := int(c.uint(manifest.BlockChunks))
	steps := c.uints(n, manifest.BlockChunks)
	_, chunks := c.columns(base, 0, n)
	if c.failed || len(c.rest) > 0 {
		return nil, fmt.Errorf("decode patch: %w", corrupt("it is cut short or malformed"))
	}
	patch := makeOverrides(steps, chunks)
	if err := checkPatch(patch); err != nil {
		return nil, fmt.Errorf("decode patch: %w", err)
	}
	if !bytes.Equal(appendPatch(make([]byte, 0, len(raw)), patch), raw) {
		return nil, fmt.Errorf("decode patch: %w", corrupt("it is not in its shortest form"))
	}
	return patch, nil
}

// checkPatch checks the rules about a patch that hold wherever in a database its block is.
func checkPatch(patch []Override) error {
	last := -1
	for i := range patch {
		if p := patch[i].Place; p <= last || p >= manifest.BlockChunks {
			return corrupt("a chunk at place %d after one at %d", p, last)
		}
		last = patch[i].Place
	}
	return checkIndex(patchChunks(patch))
}
