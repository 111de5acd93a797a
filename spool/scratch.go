package spool

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/boule-db/boule/internal/fsx"
)

// CleanScratch removes what interrupted producers left, when it is of some age: of directories, which may be large, a part at a time. After
// an error the rest was removed, and it may be called again.
func (p *Producer) CleanScratch() error {
	if p.dir == nil || p.broken {
		return p.check("clean scratch")
	}
	names, err := p.dir.ReadDir(stagedScratch)
	if err != nil {
		return p.lost("clean scratch", err)
	}
	var first error
	for _, name := range names {
		if err := missingIsFine(p.cleanOne(stagedScratch + "/" + name)); err != nil && first == nil {
			first = fmt.Errorf("spool: clean scratch: %w", err)
		}
	}
	return first
}

func (p *Producer) cleanOne(name string) error {
	if p.next != nil && name == p.next.tmp {
		return nil
	}
	info, err := p.dir.Stat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return p.removeOld(name, info)
	}
	if !strings.HasPrefix(path.Base(name), goneDir) {
		if p.young(p.lastLink(name, info)) {
			return nil
		}
		// Renamed first, so that nobody can publish it half removed. Whoever is still building it loses no more than that attempt.
		gone := stagedScratch + "/" + goneDir + p.root.scratchName()
		if err := p.dir.RenameDir(name, gone); err != nil {
			return err
		}
		name = gone
	}
	return p.sweep(name)
}

// lastLink returns when something was last done to a ready snapshot on its way.
func (p *Producer) lastLink(name string, info fsx.Info) time.Time {
	last := info.ModTime
	subs, _ := list(p.dir, name)
	for _, sub := range subs {
		for _, dir := range []string{name + "/" + sub, name + "/" + sub + "/" + chunksDir} {
			if info, err := p.dir.Stat(dir); err == nil && info.ModTime.After(last) {
				last = info.ModTime
			}
		}
	}
	return last
}

// sweep removes a directory, or some of the chunks in it.
func (p *Producer) sweep(name string) error {
	subs, _ := list(p.dir, name)
	left := maxSweep
	for _, sub := range subs {
		chunks := name + "/" + sub + "/" + chunksDir
		names, err := list(p.dir, chunks)
		if err != nil {
			continue // it is of another kind
		}
		for _, chunk := range names {
			if left--; left < 0 {
				return nil
			}
			if err := missingIsFine(p.dir.Remove(chunks + "/" + chunk)); err != nil {
				return err
			}
		}
	}
	return p.dir.RemoveAll(name)
}

// cleanOld removes a file of some age.
func (p *Producer) cleanOld(name string) error {
	info, err := p.dir.Stat(name)
	if err == nil {
		err = p.removeOld(name, info)
	}
	return missingIsFine(err)
}

func (p *Producer) removeOld(name string, info fsx.Info) error {
	if p.young(info.ChangeTime) {
		return nil
	}
	return p.dir.Remove(name)
}

// young says whether a living producer may still be at what was changed then. A time in the future says nothing about the age.
func (p *Producer) young(changed time.Time) bool {
	age := p.root.opts.since(changed)
	return age >= 0 && age < p.root.opts.ScratchAge
}
