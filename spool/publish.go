package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/boule-db/boule/manifest"
)

// maxLinks is how many chunks are linked, or removed, at a time beyond those staged since, since a writer may be waiting: the next call goes on.
// For each that was staged there may be one that is needed no more: twice as many, so that it comes to an end whatever is written meanwhile.
const maxLinks = 256

// An upcoming is the next ready snapshot on its way, in the scratch area. Chunks may come and go there until the manifest is linked: then it becomes
// ready in the same call, or is given up.
type upcoming struct {
	tmp, sub  string                        // what is renamed to ready, and the snapshot in it
	has, want map[manifest.Fingerprint]bool // chunks that are in it, and that are to be
	queue     []manifest.Fingerprint        // of those that differ, perhaps
	compared  bool                          // want is what is staged and needed, but for what others did
}

// PublishReady makes what is staged the ready snapshot, unless there is one already. needed says which chunks, index blocks
// among them, the staged manifest called name references; it is asked for such as are in the staging area. If there are many more of them
// than were staged since the last call, it does a part, and returns false: the next call, or PrepareReady, goes on. After an error, as
// after false, the ready snapshot is as it was, and PublishReady may be called again.
func (p *Producer) PublishReady(name string, needed func(manifest.Fingerprint) bool) (published bool, err error) {
	if err := validName(name); err != nil {
		return false, fmt.Errorf("spool: publish ready: %w", err)
	}
	const op = "publish ready"
	if p.dir == nil || p.broken {
		return false, p.check(op)
	}
	budget := p.budget()
	// Whatever is in ready, no directory can be renamed onto it.
	switch some, err := nonEmpty(p.dir, readyDir); {
	case err != nil:
		return false, fmt.Errorf("spool: %s: %w", op, err)
	case some:
		p.next = nil // another producer was faster
		return false, nil
	}
	for {
		begun := p.next != nil
		done, err := p.fill(needed, &budget)
		if err == nil && done {
			// If tmp was removed meanwhile, this fails: nothing incomplete is ever published.
			if err = p.linkManifest(stagedMeta+"/"+name, p.next.sub+"/"+metaDir+"/"+name); err == nil {
				err = p.dir.RenameDir(p.next.tmp, readyDir)
			}
		}
		if err == nil {
			if done {
				p.next = nil
			}
			return done, nil
		}
		again, err := p.giveUp(op, err)
		if !again || !begun {
			return false, err
		}
	}
}

// Publishing says that PublishReady has made a part of what is staged ready.
func (p *Producer) Publishing() bool { return p.next != nil }

// PrepareReady is called when a snapshot gives way before its manifest is staged: it goes on with what PublishReady began, if it did. What was
// staged up to now does not count any more when PublishReady and CollectGarbage judge what is much. After an error the ready snapshot is as it was.
func (p *Producer) PrepareReady() error {
	const op = "prepare ready"
	if p.dir == nil || p.broken {
		return p.check(op)
	}
	budget := p.budget()
	p.swelled = 0
	if p.next == nil {
		return nil
	}
	if _, err := p.work(p.next, &budget); err != nil {
		_, err = p.giveUp(op, err)
		return err
	}
	return nil
}

func (p *Producer) budget() int {
	n := 2*p.fresh + maxLinks
	p.fresh = 0
	return n
}

// giveUp gives up the next ready snapshot after an error. It returns none if that came of what another producer did: then the snapshot can
// be begun again, unless that producer has published it.
func (p *Producer) giveUp(op string, err error) (again bool, _ error) {
	tmp := p.next.tmp
	p.next = nil
	if rerr := p.dir.RemoveAll(tmp); rerr != nil {
		err = errors.Join(err, rerr)
	} else if errors.Is(err, fs.ErrExist) {
		return false, nil // another producer was faster
	}
	if errors.Is(err, fs.ErrNotExist) {
		// Another producer may have cleaned the scratch directory away, which is no harm, or
		// the whole spool may be gone.
		err := p.check(op)
		return err == nil, err
	}
	return false, fmt.Errorf("spool: %s: %w", op, err)
}

// fill makes the next ready snapshot have all chunks that are staged and needed, and says whether the budget was enough.
func (p *Producer) fill(needed func(manifest.Fingerprint) bool, budget *int) (done bool, err error) {
	u := p.next
	if u == nil {
		tmp := stagedScratch + "/" + p.root.scratchName()
		u = &upcoming{tmp: tmp, sub: tmp + "/" + p.root.unique(), has: map[manifest.Fingerprint]bool{}}
		p.next = u
		for _, dir := range []string{u.tmp, u.sub, u.sub + "/" + chunksDir, u.sub + "/" + metaDir} {
			if err := p.root.mkdir(p.dir, dir); err != nil {
				return false, err
			}
		}
	}
	// What is known is done first, since only what is staged can tell the rest, and to look there takes long when there is much.
	if done, err := p.work(u, budget); err != nil || !done {
		return false, err
	}
	if err := p.compare(u, needed); err != nil {
		return false, err
	}
	return p.work(u, budget)
}

// compare finds out what is staged and needed. Others may have staged, uploaded, or collected some.
func (p *Producer) compare(u *upcoming, needed func(manifest.Fingerprint) bool) error {
	staged, err := p.dir.ReadDir(stagedChunks)
	if err != nil {
		return err
	}
	u.want, u.compared = make(map[manifest.Fingerprint]bool, len(staged)), true
	for _, name := range staged {
		if f, err := manifest.ParseChunkName(name); err == nil && needed(f) {
			u.want[f] = true
		}
	}
	for f := range u.want {
		if !u.has[f] {
			u.queue = append(u.queue, f)
		}
	}
	for f := range u.has {
		if !u.want[f] {
			u.queue = append(u.queue, f)
		}
	}
	// In the order of their names: two producers do the same, whatever the order of a map.
	slices.SortFunc(u.queue, func(x, y manifest.Fingerprint) int { return cmp.Or(cmp.Compare(x.Hi, y.Hi), cmp.Compare(x.Lo, y.Lo)) })
	return nil
}

// work links, and removes, what is in the queue, and says whether the budget was enough. A chunk that is not in the staging area any more was
// uploaded; a missing directory means that the scratch area was cleaned.
func (p *Producer) work(u *upcoming, budget *int) (done bool, err error) {
	for ; len(u.queue) > 0; u.queue = u.queue[1:] {
		f := u.queue[0]
		if u.has[f] == u.want[f] {
			continue
		}
		if *budget <= 0 {
			return false, nil
		}
		*budget--
		from, to := stagedChunks+"/"+f.ChunkName(), u.sub+"/"+chunksDir+"/"+f.ChunkName()
		if u.has[f] {
			if err := missingIsFine(p.dir.Remove(to)); err != nil {
				return false, err
			}
			delete(u.has, f)
			continue
		}
		err := p.link(from, to)
		if errors.Is(err, fs.ErrNotExist) {
			if _, serr := p.dir.Stat(from); errors.Is(serr, fs.ErrNotExist) {
				delete(u.want, f)
				continue
			}
		}
		if err != nil {
			return false, err
		}
		u.has[f] = true
	}
	return true, nil
}

// note makes a chunk that was staged part of the next ready snapshot, if that was begun, and no garbage.
func (p *Producer) note(f manifest.Fingerprint) {
	p.fresh++
	p.swelled++
	if len(p.garbage) > 0 {
		p.spared[f.ChunkName()] = true
	}
	if u := p.next; u != nil && u.compared {
		u.want[f] = true
		u.queue = append(u.queue, f)
	}
}

// Drop says that the manifest to be staged next does not reference a chunk any more. It only spares PublishReady work in the end.
func (p *Producer) Drop(f manifest.Fingerprint) {
	if u := p.next; u != nil && u.want[f] {
		delete(u.want, f)
		u.queue = append(u.queue, f)
	}
}

// link gives a file a second name, or copies it where links are not allowed: Linux has it that who
// links a file of another user must be allowed to write to it (fs.protected_hardlinks).
func (p *Producer) link(from, to string) error {
	err := p.dir.Link(from, to)
	if errors.Is(err, fs.ErrPermission) {
		return p.copyFile(from, to)
	}
	return err
}

// linkManifest is link that changes the identity of what it links, as a link does.
func (p *Producer) linkManifest(from, to string) error {
	err := p.dir.Link(from, to)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if err := p.copyFile(from, from); err != nil {
		return err
	}
	return p.link(from, to)
}

func (p *Producer) copyFile(from, to string) error {
	data, err := p.dir.ReadFile(from)
	if err != nil {
		return err
	}
	return p.root.publish(p.dir, stagedScratch+"/"+p.root.scratchName(), to, data, true)
}
