package spool

import (
	"fmt"
	"slices"
	"strings"

	"github.com/boule-db/boule/internal/fsx"
)

// Info describes one spool.
type Info struct {
	Key       Key
	Path      string // of the database; empty when the spool does not say
	Target    Target // Spec is nil when the spool does not say
	Staged    Usage  // staging/chunks and staging/meta
	Ready     Usage
	Consuming Usage
}

// Usage counts files and their bytes.
type Usage struct {
	Chunks, Manifests int
	Bytes             int64
}

// Pending says whether something waits in the spool that was not uploaded yet. The staged
// manifest stays forever, so it does not count.
func (i Info) Pending() bool {
	return i.Staged.Chunks+i.Ready.Chunks+i.Ready.Manifests+i.Consuming.Chunks+i.Consuming.Manifests > 0
}

// Spools lists the spools of this boot, in order of their keys. What changes meanwhile may be
// seen in any state.
func (r *Root) Spools() ([]Info, error) {
	base, err := r.open(false)
	if err != nil {
		if missingIsFine(err) == nil {
			return nil, nil
		}
		return nil, fmt.Errorf("spool: list spools: %w", err)
	}
	defer base.Close()
	infos, err := spoolsIn(base, r.name())
	if err != nil {
		return nil, fmt.Errorf("spool: list spools: %w", err)
	}
	return infos, nil
}

// spoolsIn lists the spools of the directory of a boot.
func spoolsIn(base fsx.FS, boot string) ([]Info, error) {
	parents, err := list(base, boot)
	if err != nil {
		return nil, err
	}
	slices.Sort(parents)
	var infos []Info
	for _, parent := range parents {
		if strings.HasPrefix(parent, ".") {
			continue
		}
		names, err := list(base, boot+"/"+parent)
		if err != nil {
			return nil, err
		}
		slices.Sort(names)
		for _, name := range names {
			key, ok := parseKey(parent, name)
			if !ok {
				continue
			}
			info, err := describe(base, boot, key)
			if missingIsFine(err) != nil {
				return nil, err
			}
			if err == nil {
				infos = append(infos, info)
			}
		}
	}
	return infos, nil
}

func describe(base fsx.FS, boot string, key Key) (Info, error) {
	dir, err := base.Sub(boot + "/" + key.String())
	if err != nil {
		return Info{}, err
	}
	defer dir.Close()
	info := Info{Key: key, Target: Target{ID: key.Target}}
	if m, err := readMetadata(dir); err == nil {
		info.Path, info.Target = m.Path, m.Target
	}
	if info.Path == "" {
		info.Path, _ = Unmangle(key.Mangled)
	}
	err = usage(dir, "staging", &info.Staged)
	for i, sub := range []string{readyDir, consumingDir} { // in the order in which content moves
		u := []*Usage{&info.Ready, &info.Consuming}[i]
		names, lerr := list(dir, sub)
		if err == nil {
			err = lerr
		}
		for _, name := range names {
			if err == nil {
				err = usage(dir, sub+"/"+name, u)
			}
		}
	}
	return info, err
}

// usage adds up what is in the chunks and meta directories of one place.
func usage(dir fsx.FS, place string, u *Usage) error {
	for i, sub := range []string{chunksDir, metaDir} {
		count := []*int{&u.Chunks, &u.Manifests}[i]
		names, err := list(dir, place+"/"+sub)
		if err != nil {
			return err
		}
		for _, name := range names {
			info, err := dir.Stat(place + "/" + sub + "/" + name)
			if missingIsFine(err) != nil {
				return err
			}
			if err == nil {
				*count++
				u.Bytes += info.Size
			}
		}
	}
	return nil
}
