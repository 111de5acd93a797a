package storetest

// Verdict is what Run decides about the result of a check.
func (e Expect) Verdict(name string, err error) (note string, ok bool) { return e.verdict(name, err) }
