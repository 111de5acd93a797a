//go:build !(linux || darwin)

package tracker

func getAttr(uintptr) ([]byte, error) { return nil, errNoAttr }

func setAttr(uintptr, []byte) error { return errNoAttr }
