package doctor

import (
	"bytes"
	"reflect"
	"slices"
	"strings"

	"github.com/boule-db/boule/manifest"
)

// String names the actor in messages.
func (a Actor) String() string {
	role := [...]string{"somebody", "producer", "consumer"}[a.Role]
	if a.Name != "" {
		role += " " + a.Name
	}
	return role
}

// I3: a producer's order.
func (c *evidence) chunkFirst(o *occurrence) {
	if o.Actor.Role != Producer || o.Err != nil || !o.is("rename") {
		return
	}
	if f, ok := o.stagedChunk(); ok && o.w.staged != nil && !o.w.touched[f] && c.references(o, o.w.staged, f) {
		c.bad(o.Name, "%s staged it after a manifest that references it", o.Actor)
	}
	m, err := manifest.Decode(o.Data)
	if !o.stagedManifest() || err != nil || !o.w.began || o.w.base == nil { // else see I21
		return
	}
	// What it found staged references these, numbered as untouched does it.
	base := map[int]manifest.Fingerprint{}
	for b := range o.w.base.Blocks {
		base[-1-b] = o.w.base.Blocks[b].Stored
	}
	err = eachChunk(o.w.base, c.blocksOf(c.now.tree().Spools[o.path]), func(i int, f manifest.Fingerprint) { base[i] = f })
	c.untouched(o, m, func(i int, f manifest.Fingerprint) bool {
		was, known := base[i]
		return was == f || i > 0 && !known && err != nil // nobody knows
	})
}

// untouched reports the first reference of a manifest that the actor has not staged, nor found staged, nor
// known otherwise. Index block b has the number -1-b. It reports nothing else of a manifest of
// which a chunk is not known.
func (c *evidence) untouched(o *occurrence, m *manifest.Manifest, known func(i int, f manifest.Fingerprint) bool) bool {
	lacks := func(i int, f manifest.Fingerprint) bool {
		return i != 0 && f != manifest.ZeroChunk && !o.w.touched[f] && !known(i, f)
	}
	for b := range m.Blocks {
		if f := m.Blocks[b].Stored; f != manifest.NoBlock && lacks(-1-b, f) {
			c.bad(o.Name, "%s staged it without index block %d, %v", o.Actor, b, f)
			return true
		}
	}
	found := false
	_ = eachChunk(m, c.blocksOf(c.now.tree().Spools[o.path]), func(i int, f manifest.Fingerprint) {
		if !found && lacks(i, f) {
			c.bad(o.Name, "%s staged it without chunk %d, %v", o.Actor, i, f)
			found = true
		}
	})
	return found
}

// references says that a manifest references f, as far as its index is known.
func (c *evidence) references(o *occurrence, m *manifest.Manifest, f manifest.Fingerprint) bool {
	if m == nil {
		return false
	}
	refs, _ := References(m, c.blocksOf(c.now.tree().Spools[o.path]))
	return slices.Contains(refs, f)
}

// I3: the effect. A manifest that has just been staged has all its chunks.
func (c *evidence) chunkStaged() {
	c.steps(func(before, now *Spool) {
		for name, f := range now.Staging.Manifests {
			if f.Manifest == nil || sameFile(f, before.Staging.Manifests[name]) || c.memory.doubt[now.Path] {
				continue
			}
			// What was there before may have been uploaded meanwhile.
			n, first := missing(f.Manifest, c.blocksOf(now), c.now.store(now.Key.Target), append(now.places(), before.places()...)...)
			if n > 0 {
				c.bad(f.Path, "appeared before %d of its chunks, %v for one", n, first)
			}
		}
	})
}

// I6: nobody works in ready.
func (c *evidence) touchesReady(o *occurrence) {
	if strings.HasPrefix(o.rest, "ready/") && o.Err == nil && o.Actor.Role != Other &&
		o.is("create", "mkdir", "mkdirall", "link", "rename", "renamenew", "renamedir", "remove", "removeall", "chmod") {
		c.bad(o.Name, "%s did %s", o.Actor, o.Op)
	}
}

// I10
func (c *evidence) garbage(o *occurrence) {
	f, ok := o.stagedChunk()
	if !ok || o.Actor.Role != Producer || o.Err != nil || !o.is("remove", "removeall") || o.w.published {
		return
	}
	referenced := c.references(o, o.w.staged, f)
	if o.w.staged == nil && c.opts.EachOperation {
		if s := c.now.tree().Spools[o.path]; s != nil {
			for _, file := range s.Staging.Manifests {
				referenced = referenced || c.references(o, file.Manifest, f)
			}
		}
	}
	// It may be what another place has had since before it was staged again for one that it has not any more.
	if referenced && !c.memory.left[o.path][f] {
		c.bad(o.Name, "%s removed it, which is referenced and was not published", o.Actor)
	}
}

// stagedUpload says that the event is the upload of a staged manifest.
func (o *occurrence) stagedUpload() bool {
	return o.upload != nil && o.Actor.Role == Consumer && o.w.source == "staging"
}

// emptiness are the directories that must be found empty, in this order.
var emptiness = []string{"staging/chunks", "ready", "consuming"}

// I11: whoever uploads what is staged looked in the right order.
func (c *evidence) looksInOrder(o *occurrence) {
	if !o.stagedUpload() {
		return
	}
	want := emptiness
	for _, dir := range o.w.looked {
		if len(want) > 0 && dir == want[0] {
			want = want[1:]
		}
	}
	if len(want) > 0 {
		c.bad(o.path, "%s uploads what is staged, and looked into %v since it opened that", o.Actor, o.w.looked)
	}
}

// I14: and found nothing.
func (c *evidence) uploadsStaged(o *occurrence) {
	if !o.stagedUpload() {
		return
	}
	for _, dir := range emptiness {
		if o.w.busy[dir] {
			c.bad(o.path, "%s uploads what is staged, and found something in %s", o.Actor, dir)
			return
		}
	}
}

// I12: how it is done.
func (c *evidence) links(o *occurrence) {
	if o.Actor.Role == Producer && o.Err == nil && o.is("renamedir") && o.rest == "ready" && !o.w.linked {
		c.bad(o.Name, "%s published it, and has not linked the staged manifest", o.Actor)
	}
}

// I16
func (c *evidence) neverWaits(o *occurrence) {
	if o.Actor.Role == Producer && (o.is("lock") || o.Op.store()) {
		c.bad(o.Name, "%s did %s", o.Actor, o.Op)
	}
}

// I18
func (c *evidence) syncs(o *occurrence) {
	boot, _, _ := strings.Cut(o.Name, "/")
	if o.Actor.Role == Other || !strings.HasPrefix(boot, "boule-") {
		return
	}
	own := c.now.tree().Boot
	switch {
	case o.is("sync", "syncdir"):
		c.bad(o.Name, "%s synced it", o.Actor)
	case o.is("readfile", "open", "readat", "link") && own != "" && bootUUID(boot) != bootUUID(own) &&
		!strings.HasSuffix(o.Name, "/.metadata"): // which cleaning names in its log
		c.bad(o.Name, "%s read it, and it is of another boot", o.Actor)
	}
}

// I21
func (c *evidence) fullOnDoubt(o *occurrence) {
	if o.Actor.Role != Producer || o.Err != nil || !o.is("rename") || !o.stagedManifest() || !o.w.began || o.w.base != nil {
		return
	}
	m, err := manifest.Decode(o.Data)
	if err != nil {
		return
	}
	if c.untouched(o, m, func(int, manifest.Fingerprint) bool { return false }) {
		return
	}
	if n := c.memory.unread(o.Actor, m); n > 0 {
		c.bad(o.Name, "%s found nothing usable staged, and did not read %d of %d chunks", o.Actor, n, manifest.Count(m.Size))
	}
}

// unread counts the chunks that the actor did not read for its snapshot; none if nobody watches.
func (m *memory) unread(a Actor, made *manifest.Manifest) (n int) {
	reads, watched := m.reads[a]
	if !watched {
		return 0
	}
	for i := range manifest.Count(made.Size) {
		if !reads[int64(i)] {
			n++
		}
	}
	return n
}

// I23
func (c *evidence) incremental(o *occurrence) {
	if o.Actor.Role != Producer || o.Err != nil || !o.is("rename") || !o.stagedManifest() || o.w.base == nil {
		return
	}
	m, err := manifest.Decode(o.Data)
	if err != nil || c.memory.unread(o.Actor, m) == 0 {
		return
	}
	id, known := c.memory.exclusive[o.Actor]
	base := o.w.base.VersionID
	if len(base) == 0 || known && !bytes.Equal(base, id) && !bytes.Equal(base, m.VersionID) {
		c.bad(o.Name, "%s did not read all of the database, whose version id is not the staged one", o.Actor)
	}
}

// I24
func (c *evidence) sqlite(o *occurrence) {
	if o.Op == OpSQLite && !reflect.DeepEqual(o.Got, o.Want) {
		c.bad(o.Name, "returned %v instead of %v", o.Got, o.Want)
	}
}

// I25
func (c *evidence) onePass(o *occurrence) {
	if other, ok := c.memory.passes[passKey(o)]; o.Op == OpPassBegin && ok {
		c.bad(o.Name, "%s begins, and %s is at work", o.Actor, other)
	}
}

// I26
func (c *evidence) reader(o *occurrence) {
	if o.Op != OpRead {
		return
	}
	if old, ok := c.memory.readers[readKey(o)]; ok && !bytes.Equal(old, o.Data) {
		c.bad(o.Name, "%s read something else at %d than before", o.Actor, o.Offset)
	}
}
