package logwriter

// SetGarbageMost bounds lists of garbage differently, and returns what undoes that.
func SetGarbageMost(n int) (undo func()) {
	before := garbageMost
	garbageMost = n
	return func() { garbageMost = before }
}
