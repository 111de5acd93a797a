package doctor

import (
	"strings"

	"github.com/boule-db/boule/manifest"
)

// steps calls f for each spool that was there before and still is.
func (c *evidence) steps(f func(before, now *Spool)) {
	if c.before == nil {
		return
	}
	for path, old := range c.before.tree().Spools {
		if s := c.now.tree().Spools[path]; s != nil && s.Info.Dev == old.Info.Dev && s.Info.Ino == old.Info.Ino {
			f(old, s)
		}
	}
}

func find(places []*Place, name string) *Place {
	for _, p := range places {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// sameFile says that two looks found the same file, unchanged but for its links.
func sameFile(a, b *File) bool {
	return a != nil && b != nil && a.Info.Dev == b.Info.Dev && a.Info.Ino == b.Info.Ino && a.Info.Size == b.Info.Size &&
		a.Info.ModTime.Equal(b.Info.ModTime)
}

// I6
func (c *evidence) readyWhole() {
	c.spools(func(s *Spool) {
		if len(s.Ready) > 1 {
			c.bad(s.Path+"/ready", "holds %d snapshots", len(s.Ready))
		}
		for _, p := range s.Ready {
			if !p.HasChunks || !p.HasMeta || len(p.Manifests) != 1 {
				c.bad(p.Path, "is not whole: it has %d manifests", len(p.Manifests))
			}
		}
	})
	c.steps(func(before, now *Spool) {
		for _, old := range before.Ready {
			p := find(now.Ready, old.Name)
			if p == nil {
				continue
			}
			changed := len(p.Chunks) != len(old.Chunks) || len(p.Manifests) != len(old.Manifests)
			for sum, f := range old.Chunks {
				changed = changed || !sameFile(f, p.Chunks[sum])
			}
			for name, f := range old.Manifests {
				changed = changed || !sameFile(f, p.Manifests[name])
			}
			if changed {
				c.bad(p.Path, "was changed: it had %d chunks and %d manifests, and has %d and %d",
					len(old.Chunks), len(old.Manifests), len(p.Chunks), len(p.Manifests))
			}
		}
	})
}

// uploaded says that the store has what is in a batch, or something newer.
func (c *evidence) uploaded(target string, p *Place) bool {
	remote := c.now.store(target)
	if remote == nil {
		return true // nobody knows
	}
	for sum := range p.Chunks {
		if remote.lacks(sum) {
			return false
		}
	}
	for name, f := range p.Manifests {
		if f.Manifest != nil && remote.knows(name) && remote.sequence(name) < f.Manifest.Sequence {
			return false
		}
	}
	return true
}

// I7
func (c *evidence) readyGoes() {
	c.spools(func(s *Spool) {
		if len(s.Consuming) > 1 {
			c.bad(s.Path+"/consuming", "holds %d snapshots: ready was moved to one that was not empty", len(s.Consuming))
		}
	})
	c.steps(func(before, now *Spool) {
		for _, p := range before.Ready {
			if find(now.Ready, p.Name) == nil && find(now.Consuming, p.Name) == nil &&
				(c.opts.EachOperation || !c.uploaded(now.Key.Target, p)) && !c.memory.doubt[now.Path] {
				c.bad(p.Path, "went, but not to consuming")
			}
		}
	})
}

// I8
func (c *evidence) consumed() {
	c.spools(func(s *Spool) {
		for _, p := range s.Consuming {
			if len(p.Chunks) > 0 && len(p.Manifests) == 0 {
				c.bad(p.Path, "has %d chunks, but no manifest any more", len(p.Chunks))
			}
		}
	})
	c.steps(func(before, now *Spool) {
		remote := c.now.store(now.Key.Target)
		if c.memory.doubt[now.Path] {
			return // given up: the next snapshot is a full one
		}
		for _, old := range before.Consuming {
			p := find(now.Consuming, old.Name)
			if p == nil {
				p = &Place{}
			}
			for sum, f := range old.Chunks {
				if p.Chunks[sum] == nil && remote.lacks(sum) && f.Sum == sum {
					c.bad(f.Path, "was removed, and is not in the store")
				}
			}
			for name, f := range old.Manifests {
				if tap := c.now.tree().Taps[now.Key.Target][name]; c.opts.MayGoBack && tap != nil && tap.Manifest != nil && tap.Manifest.Sequence >= f.Manifest.Sequence {
					continue // the store had it, and went back since
				}
				if p.Manifests[name] == nil && f.Manifest != nil && remote.knows(name) && remote.sequence(name) < f.Manifest.Sequence {
					c.bad(f.Path, "was removed, and is not in the store: that has %d, this is %d", remote.sequence(name), f.Manifest.Sequence)
				}
			}
		}
	})
}

// I9
func (c *evidence) uniqueOnce() {
	c.spools(func(s *Spool) {
		look := func(places []*Place, where string) {
			for _, p := range places {
				if !isUnique(p.Name) {
					c.bad(p.Path, "is no name that is used once")
				}
				info := s.stamps[p.Path]
				key := s.Path + " " + p.Name
				u := c.memory.uniques[key]
				switch {
				case u == nil:
					c.memory.uniques[key] = &unique{info.Dev, info.Ino, where}
				case u.place == "":
					c.bad(p.Path, "is there again")
				case info.Ino != 0 && (u.ino != info.Ino || u.dev != info.Dev):
					c.bad(p.Path, "is another directory than before")
				case u.place == "consuming" && where == "ready":
					c.bad(p.Path, "is in ready, and was in consuming")
				default:
					u.place = where
				}
			}
		}
		look(s.Consuming, "consuming")
		look(s.Ready, "ready")
	})
	c.steps(func(before, now *Spool) {
		for _, p := range append(append([]*Place(nil), before.Ready...), before.Consuming...) {
			if find(now.Ready, p.Name) == nil && find(now.Consuming, p.Name) == nil {
				if u := c.memory.uniques[now.Path+" "+p.Name]; u != nil {
					u.place = ""
				}
			}
		}
	})
}

// isUnique accepts "<pid>.<birth>.<unix µs>.<counter>.<32 hexadecimal digits>".
func isUnique(name string) bool {
	parts := strings.Split(name, ".")
	return len(parts) == 5 && len(parts[4]) == 32 && strings.Trim(parts[4], "0123456789abcdef") == ""
}

// I12: the effect.
func (c *evidence) identity() {
	c.spools(func(s *Spool) {
		for name, staged := range s.Staging.Manifests {
			at := sighting{staged.Info.Dev, staged.Info.Ino, staged.Info.ChangeTime.UnixNano()}
			first, seen := c.memory.identity[staged.Path]
			if !seen || first.dev != at.dev || first.ino != at.ino {
				c.memory.identity[staged.Path] = at
				continue
			}
			for _, p := range s.Ready {
				if c.opts.EachOperation && at.ino != 0 && sameFile(p.Manifests[name], staged) && c.newReady(s, p) && first.changed == at.changed {
					c.bad(staged.Path, "has the change time that it had before it was published")
				}
			}
		}
	})
}

// newReady says that a snapshot has become ready with this step.
func (c *evidence) newReady(s *Spool, p *Place) bool {
	if c.before == nil {
		return false
	}
	old := c.before.tree().Spools[s.Path]
	return old != nil && find(old.Ready, p.Name) == nil
}

// I11
func (c *evidence) direction() {
	c.steps(func(before, now *Spool) {
		back := func(from, to []*Place) {
			for _, old := range from {
				for sum, f := range old.Chunks {
					for _, p := range to {
						if p.Name != old.Name && sameFile(f, p.Chunks[sum]) && !sameFile(f, p.Index[sum]) { // a block that is named again comes from the index
							c.bad(p.Chunks[sum].Path, "came back from %s", old.Path)
						}
					}
				}
			}
		}
		staging := []*Place{now.Staging}
		if before.Staging != nil {
			back(without(before.Ready, before.Staging), staging)
			back(without(before.Consuming, before.Staging), staging)
		}
		back(without(before.Consuming, before.Ready...), now.Ready)
	})
}

// without returns the places with those chunks only that are in none of the others.
func without(places []*Place, others ...*Place) []*Place {
	var rest []*Place
	for _, p := range places {
		q := &Place{Path: p.Path, Name: p.Name, Chunks: map[manifest.Fingerprint]*File{}}
	chunks:
		for sum, f := range p.Chunks {
			for _, o := range others {
				if sameFile(f, o.Chunks[sum]) {
					continue chunks
				}
			}
			q.Chunks[sum] = f
		}
		rest = append(rest, q)
	}
	return rest
}
