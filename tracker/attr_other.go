//go:build !(linux || darwin)

package tracker

func getAttr(uintptr, string, int) ([]byte, error) { return nil, errNoAttr }

func setAttr(uintptr, string, []byte) error { return errNoAttr }

func removeAttr(uintptr, string) error { return nil }
