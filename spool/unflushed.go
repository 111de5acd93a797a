package spool

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/internal/instance"
	"github.com/boule-db/boule/manifest"
)

// An Unflushed is a database of which an earlier boot had not uploaded everything. What is left of
// its spool is of no use, since nothing there was synced; the database is. So the remedy is to open it,
// or to have it flushed.
type Unflushed struct {
	Path   string    `json:"path"`
	Target Target    `json:"target"`
	Boot   time.Time `json:"boot"` // when that boot began
	Chunks int       `json:"chunks"`
	Bytes  int64     `json:"bytes"`
}

// Unflushed lists, in order of their paths, the databases that earlier boots had not uploaded and that
// have not been staged since. They are known as long as this boot lasts, also after [Root.CleanStale].
func (r *Root) Unflushed() ([]Unflushed, error) {
	base, err := r.open(false)
	if err != nil {
		if missingIsFine(err) == nil {
			return nil, nil
		}
		return nil, fmt.Errorf("spool: list unflushed databases: %w", err)
	}
	defer base.Close()
	var all []Unflushed
	for _, boot := range r.earlierBoots(base) {
		all = append(all, r.unflushedIn(base, boot.name, boot.id)...)
	}
	all = append(slices.DeleteFunc(all, func(u Unflushed) bool { return stagedIn(base, r.name(), u) }), r.noted(base, r.name())...)
	slices.SortStableFunc(all, func(a, b Unflushed) int {
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		return strings.Compare(a.Target.ID, b.Target.ID)
	})
	return slices.CompactFunc(all, func(a, b Unflushed) bool { return a.Path == b.Path && a.Target.ID == b.Target.ID }), nil
}

// unflushedIn lists what is not uploaded in the directory of a boot, or noted there, of databases
// that exist.
func (r *Root) unflushedIn(base fsx.FS, boot string, id instance.ID) []Unflushed {
	infos, err := spoolsIn(base, boot)
	if err != nil {
		return nil // it is not ours to read
	}
	all := r.noted(base, boot)
	for _, info := range infos {
		if info.Path == "" || r.absent(info.Path) || !info.Pending() && acknowledged(base, boot, info.Key) {
			continue
		}
		all = append(all, Unflushed{
			Path: info.Path, Target: info.Target, Boot: time.Unix(id.Time, 0),
			Chunks: info.Staged.Chunks + info.Ready.Chunks + info.Consuming.Chunks,
			Bytes:  info.Staged.Bytes + info.Ready.Bytes + info.Consuming.Bytes,
		})
	}
	return all
}

// acknowledged says whether the staged manifests of a spool are those that the target has.
func acknowledged(base fsx.FS, boot string, key Key) bool {
	meta := boot + "/" + key.String() + "/" + stagedMeta
	names, err := list(base, meta)
	for _, name := range names {
		staged, serr := base.ReadFile(meta + "/" + name)
		tap, terr := base.ReadFile(boot + "/" + tapDir + "/" + key.Target + "/" + name)
		if serr != nil || terr != nil || !bytes.Equal(staged, tap) {
			return false
		}
	}
	return err == nil
}

// note remembers, for this boot, what the directory of an earlier one held.
func (r *Root) note(base fsx.FS, u Unflushed) error {
	dir := r.name() + "/" + unflushedDir + "/" + u.Target.ID
	if err := r.ensureDir(base, dir); err != nil {
		return err
	}
	data, err := json.Marshal(u)
	if err != nil {
		return err
	}
	return r.publish(base, dir+"/."+r.scratchName(), dir+"/"+Mangle(u.Path), data, true)
}

// noted lists what was noted in a boot and not staged in it since.
func (r *Root) noted(base fsx.FS, boot string) []Unflushed {
	top := boot + "/" + unflushedDir
	targets, _ := list(base, top)
	var all []Unflushed
	for _, target := range targets {
		names, _ := list(base, top+"/"+target)
		for _, name := range names {
			var u Unflushed
			data, err := base.ReadFile(top + "/" + target + "/" + name)
			if err == nil && json.Unmarshal(data, &u) == nil && u.Target.ID == target && !r.absent(u.Path) && !stagedIn(base, boot, u) {
				all = append(all, u)
			}
		}
	}
	return all
}

// stagedIn says whether a snapshot of a boot, which is a full one, has replaced what was lost before.
func stagedIn(base fsx.FS, boot string, u Unflushed) bool {
	parent := Mangle(u.Path)
	names, _ := list(base, boot+"/"+parent)
	for _, name := range names {
		key, ok := parseKey(parent, name)
		if !ok || key.Target != u.Target.ID {
			continue
		}
		if some, err := nonEmpty(base, boot+"/"+key.String()+"/"+stagedMeta); err == nil && some {
			return true
		}
	}
	return false
}

// foreignAge is how long the directory of a boot that seems to be of another machine is left alone after
// its last change.
const foreignAge = 7 * 24 * time.Hour

type earlierBoot struct {
	name string
	id   instance.ID
}

// earlierBoots lists the directories of boots that are over. On a filesystem that machines share, one
// with another uuid may be the current boot of another machine. It is taken for that if it changed
// since this boot began, or, for a week, if manifests in it have another host's name.
func (r *Root) earlierBoots(base fsx.FS) []earlierBoot {
	names, _ := list(base, ".")
	slices.Sort(names)
	var boots []earlierBoot
	for _, name := range names {
		id, ok := parseBootName(name)
		if !ok || id.UUID == r.boot.UUID {
			continue
		}
		at := lastChange(base, name)
		if at.After(time.Unix(r.boot.Time+bootDrift, 0)) || r.ofAnotherHost(base, name) && r.opts.since(at) < foreignAge {
			r.opts.Logger.Info("spool of another boot kept: it seems to be in use by another machine",
				"spool", filepath.Join(r.prefix, name), "changed", at)
			continue
		}
		boots = append(boots, earlierBoot{name, id})
	}
	return boots
}

// ofAnotherHost says whether the names of the manifests in the directory of a boot tell a host, and
// it is never this one.
func (r *Root) ofAnotherHost(base fsx.FS, boot string) bool {
	var dirs []string
	targets, _ := list(base, boot+"/"+tapDir)
	for _, target := range targets {
		dirs = append(dirs, boot+"/"+tapDir+"/"+target)
	}
	infos, _ := spoolsIn(base, boot)
	for _, info := range infos {
		dirs = append(dirs, boot+"/"+info.Key.String()+"/"+stagedMeta)
	}
	other := false
	for _, dir := range dirs {
		names, _ := list(base, dir)
		for _, name := range names {
			switch host, _, ok := manifest.ParseName(name); {
			case ok && host == r.opts.Hostname:
				return false
			case ok:
				other = true
			}
		}
	}
	return other
}
