package spool

import "errors"

var (
	// ErrVanished reports that the spool was removed or replaced while a snapshot was being
	// staged. What was staged so far is gone; start the snapshot again with [Producer.Staged].
	ErrVanished = errors.New("spool: vanished during a snapshot")
	// ErrBadPath reports a database path that cannot be mangled: relative, or not UTF-8.
	ErrBadPath = errors.New("spool: path is not absolute UTF-8")
	// ErrUnsafe reports a directory in which others could plant what is uploaded, or redirect
	// where to.
	ErrUnsafe = errors.New("spool: not safe from other users")
	// ErrCorrupt reports spool content that no producer of this version can have written.
	ErrCorrupt = errors.New("spool: corrupt")
)
