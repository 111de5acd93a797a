package replica

import "github.com/boule-db/boule/internal/fsx"

// WithFS has RestoreFile open directories by the function.
func (o *RestoreOptions) WithFS(open func(dir string) (fsx.FS, error)) *RestoreOptions {
	o.open = open
	return o
}

var (
	RemoveJournalsIn = removeJournalsIn
	Repeats          = repeats
)
