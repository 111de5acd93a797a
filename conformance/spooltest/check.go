package spooltest

import (
	"path/filepath"

	"github.com/boule-db/boule/doctor"
	"github.com/boule-db/boule/internal/fsx"
)

// Options says what the spools are judged against. Nil judges the trees alone.
type Options struct {
	// Remote returns what has reached a target; nil if that is not known.
	Remote func(target string) *Remote
	// Size returns the size of a database, the greatest since its ready snapshot was taken;
	// negative if that is not known.
	Size func(path string) int64
}

// Check judges the spools of one boot, the directory that spool.Root.Dir names. It returns what
// it finds wrong. Nobody may move files in the tree meanwhile.
func Check(dir string, opts *Options) []doctor.Violation {
	base, err := fsx.OS(filepath.Dir(dir))
	if err != nil {
		return nil // there are none
	}
	defer base.Close()
	state := &doctor.State{
		Tree:   doctor.Look(base, filepath.Base(dir), nil),
		Stores: map[string]*doctor.Stored{}, Databases: map[string]*doctor.Database{},
	}
	if opts == nil {
		opts = &Options{}
	}
	for _, s := range state.Tree.Spools {
		if opts.Remote != nil {
			if r := opts.Remote(s.Key.Target); r != nil {
				state.Stores[s.Key.Target] = r.Stored
			}
		}
		if opts.Size != nil && s.Metadata != nil {
			if size := opts.Size(s.Metadata.Path); size >= 0 {
				state.Databases[s.Metadata.Path] = &doctor.Database{Size: size}
			}
		}
	}
	return doctor.Judge(state, &doctor.Options{MayGoBack: true}) // the tests write no taps
}
