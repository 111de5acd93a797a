package spool

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
)

// tapAge is how long a tap is kept after its database went away.
const tapAge = 24 * time.Hour

// CleanStale removes what nobody needs any more: spools of other files that had the path of db,
// and, once per Root, spools of databases that do not exist any more, old taps, and the
// directories of earlier boots. It may take long. What cannot be removed is logged.
//
// Directories are renamed first, so that nobody finds one half removed.
func (r *Root) CleanStale(db DB) {
	base, err := r.open(false)
	if err != nil {
		if missingIsFine(err) != nil {
			r.opts.Logger.Warn("spool not cleaned", "spool", r.prefix, "err", err)
		}
		return
	}
	defer base.Close()
	if ValidPath(db.Path) == nil {
		r.cleanSiblings(base, db)
	}
	if r.cleaned.CompareAndSwap(false, true) { // and nobody waits for it
		r.cleanGone(base)
		r.cleanDangling(base)
		r.cleanTaps(base)
		r.cleanBoots(base)
	}
}

// remove makes a directory disappear at once, and then its content.
func (r *Root) remove(base fsx.FS, name, why string) {
	gone := goneDir + r.unique()
	err := base.RenameDir(name, gone)
	if err == nil {
		err = base.RemoveAll(gone)
	}
	if missingIsFine(err) != nil {
		r.opts.Logger.Warn("stale spool not removed", "spool", filepath.Join(r.prefix, name), "reason", why, "err", err)
		return
	}
	r.opts.Logger.Debug("stale spool removed", "spool", filepath.Join(r.prefix, name), "reason", why)
}

// cleanGone ends removals and additions that were interrupted.
func (r *Root) cleanGone(base fsx.FS) {
	names, _ := list(base, ".")
	for _, name := range names {
		if strings.HasPrefix(name, goneDir) || r.abandoned(base, name) {
			_ = base.RemoveAll(name)
		}
	}
}

// abandoned says whether a directory on its way in will not arrive. If it would have, its maker finds
// it missing and starts again.
func (r *Root) abandoned(base fsx.FS, name string) bool {
	if !strings.HasPrefix(path.Base(name), newDir) {
		return false
	}
	info, err := base.Stat(name)
	return err == nil && r.opts.since(info.ChangeTime) >= max(r.opts.ScratchAge, time.Minute)
}

// cleanSiblings removes spools for the path of db whose file is not there any more.
func (r *Root) cleanSiblings(base fsx.FS, db DB) {
	now, err := r.opts.Lstat(db.Path)
	if err != nil {
		return
	}
	parent := Mangle(db.Path)
	names, err := list(base, r.name()+"/"+parent)
	if err != nil {
		r.opts.Logger.Warn("spool not cleaned", "db", db.Path, "err", err)
		return
	}
	for _, name := range names {
		if full := r.name() + "/" + parent + "/" + name; r.abandoned(base, full) {
			_ = base.RemoveAll(full)
		}
		key, ok := parseKey(parent, name)
		if !ok || key.Dev == now.Dev && key.Ino == now.Ino || key.Dev == db.Dev && key.Ino == db.Ino {
			continue
		}
		// Two long paths may share a directory.
		if path := r.pathOf(base, key); path == "" || path == db.Path {
			r.remove(base, r.name()+"/"+key.String(), "the database file was replaced")
		}
	}
}

// pathOf returns what a spool says is the path of its database.
func (r *Root) pathOf(base fsx.FS, key Key) string {
	dir, err := base.Sub(r.name() + "/" + key.String())
	if err != nil {
		return ""
	}
	defer dir.Close()
	m, err := readMetadata(dir)
	if err != nil {
		return ""
	}
	return m.Path
}

// pendingAge is how long what was never uploaded outlives its database.
const pendingAge = 24 * time.Hour

// cleanDangling removes spools whose database does not exist any more. Only the clear answer that
// the path does not exist counts. What was never uploaded stays for a while: it may be the last
// that is left of the database.
func (r *Root) cleanDangling(base fsx.FS) {
	parents, err := list(base, r.name())
	if err != nil {
		r.opts.Logger.Warn("spools not cleaned", "spool", r.Dir(), "err", err)
		return
	}
	for _, parent := range parents {
		if strings.HasPrefix(parent, ".") {
			continue
		}
		path, whole := Unmangle(parent)
		if whole && !r.absent(path) {
			continue
		}
		names, _ := list(base, r.name()+"/"+parent)
		kept := false
		for _, name := range names {
			key, ok := parseKey(parent, name)
			if !ok {
				continue
			}
			if !whole { // a shortened name: the spools in it know their paths
				path = r.pathOf(base, key)
			}
			if path == "" || Mangle(path) != parent || !r.absent(path) || r.awaited(base, key) {
				kept = true
				continue
			}
			r.remove(base, r.name()+"/"+key.String(), "the database does not exist any more")
		}
		if whole && !kept {
			r.remove(base, r.name()+"/"+parent, "the database does not exist any more")
		}
		_ = removeIfEmpty(base, r.name()+"/"+parent)
	}
}

// awaited says whether a spool holds something recent that was not uploaded yet.
func (r *Root) awaited(base fsx.FS, key Key) bool {
	info, err := describe(base, r.name(), key)
	if err != nil || !info.Pending() {
		return false
	}
	for _, sub := range []string{stagedChunks, stagedMeta} {
		at, err := base.Stat(r.name() + "/" + key.String() + "/" + sub)
		if err == nil && r.opts.since(at.ModTime) < pendingAge {
			r.opts.Logger.Info("spool of a deleted database kept: it was not uploaded yet", "db", info.Path)
			return true
		}
	}
	return false
}

// absent says whether it is certain that there is no such database.
func (r *Root) absent(path string) bool {
	_, err := r.opts.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// cleanTaps removes the taps of databases of this host that have been gone for a while.
func (r *Root) cleanTaps(base fsx.FS) {
	targets, _ := list(base, r.name()+"/"+tapDir)
	for _, target := range targets {
		dir := r.name() + "/" + tapDir + "/" + target
		names, _ := list(base, dir)
		for _, name := range names {
			age := tapAge
			if !strings.HasPrefix(name, ".") { // else a file that a writer left
				host, path, ok := manifest.ParseName(name)
				if !ok || host != r.opts.Hostname || !r.absent(path) {
					continue
				}
			}
			info, err := base.Stat(dir + "/" + name)
			if err == nil && r.opts.since(info.ChangeTime) >= age {
				_ = base.Remove(dir + "/" + name)
			}
		}
	}
}

// cleanBoots removes the directories of earlier boots, and notes whose data was not uploaded: what
// is left of a spool that nobody synced must not be, but it must not be forgotten either.
func (r *Root) cleanBoots(base fsx.FS) {
	for _, boot := range r.earlierBoots(base) {
		for _, u := range r.unflushedIn(base, boot.name, boot.id) {
			r.opts.Logger.Warn("database had not been uploaded when the machine went down; the next snapshot, a full one, makes up for it",
				"db", u.Path, "target", u.Target.ID, "boot", boot.name, "chunks", u.Chunks, "bytes", u.Bytes)
			if err := r.note(base, u); err != nil {
				r.opts.Logger.Warn("unflushed database not noted", "db", u.Path, "err", err)
			}
		}
		r.remove(base, boot.name, "it is of an earlier boot")
	}
}

// lastChange returns the time of the last change that a producer or consumer made below the
// directory of a boot: each of them changes a directory.
func lastChange(base fsx.FS, boot string) time.Time {
	var last time.Time
	see := func(name string) {
		if info, err := base.Stat(name); err == nil && info.IsDir() && info.ModTime.After(last) {
			last = info.ModTime
		}
	}
	see(boot)
	parents, _ := list(base, boot)
	for _, parent := range parents {
		see(boot + "/" + parent)
		names, _ := list(base, boot+"/"+parent)
		for _, name := range names {
			for _, sub := range []string{"", "/" + stagedChunks, "/" + stagedMeta, "/" + stagedScratch} {
				see(boot + "/" + parent + "/" + name + sub)
			}
		}
	}
	return last
}
