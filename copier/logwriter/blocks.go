package logwriter

import (
	"slices"

	"github.com/boule-db/boule/remotelog"
)

// rememberBlocks is of how many index blocks the chunks are remembered: they cover 4 GiB.
const rememberBlocks = 16

// A blockCache has the chunks of those blocks of an entry that were used last. The lists are never changed.
type blockCache struct {
	list []cachedBlock // the last used at the end
}

type cachedBlock struct {
	block  int
	chunks []remotelog.Chunk
}

func (c *blockCache) find(b int) int {
	return slices.IndexFunc(c.list, func(e cachedBlock) bool { return e.block == b })
}

func (c *blockCache) get(b int) ([]remotelog.Chunk, bool) {
	i := c.find(b)
	if i < 0 {
		return nil, false
	}
	e := c.list[i]
	c.list = append(slices.Delete(c.list, i, i+1), e)
	return e.chunks, true
}

func (c *blockCache) set(b int, chunks []remotelog.Chunk) {
	c.drop(b)
	if len(c.list) >= rememberBlocks {
		c.list = slices.Delete(c.list, 0, 1)
	}
	c.list = append(c.list, cachedBlock{b, chunks})
}

func (c *blockCache) drop(b int) {
	if i := c.find(b); i >= 0 {
		c.list = slices.Delete(c.list, i, i+1)
	}
}

func (c *blockCache) clear() { c.list = nil }
