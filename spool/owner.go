package spool

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
)

// ownerFile is in the prefix, so that it outlives boots.
const ownerFile = ".owner"

// Owner returns the random name of the prefix, which all who share it see, and which is drawn when it is
// first asked for. It says in a store whose replica something is. It lasts as long as the prefix does; after a loss
// of power right after it was drawn there may be another one.
func (r *Root) Owner() (owner [16]byte, err error) {
	base, err := r.open(true)
	if err != nil {
		return owner, fmt.Errorf("spool: owner: %w", err)
	}
	defer base.Close()
	data, err := base.ReadFile(ownerFile)
	if errors.Is(err, fs.ErrNotExist) {
		// Who else does so at the same time decides, if it is faster.
		if err = r.publish(base, ".new."+r.unique(), ownerFile, []byte(r.random()), false); err == nil {
			data, err = base.ReadFile(ownerFile)
		}
	}
	if err != nil {
		return owner, fmt.Errorf("spool: owner: %w", err)
	}
	if n, err := hex.Decode(owner[:], data[:min(len(data), 32)]); err != nil || n != len(owner) {
		return owner, fmt.Errorf("spool: owner: %w: %s says no owner; remove it", ErrCorrupt, ownerFile)
	}
	return owner, nil
}
