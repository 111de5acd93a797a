//go:build !(linux || darwin)

package tracker

// supportsAttr says whether this platform has extended attributes.
const supportsAttr = false

func getAttr(uintptr) ([]byte, error) { return nil, errNoAttr }

func setAttr(uintptr, []byte) error { return errNoAttr }
