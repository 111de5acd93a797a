// Package tuning has sizes that users cannot choose, for programs of this repository that want small databases to take the
// ways of large ones. A program sets them before it does anything else.
package tuning

// Options of the same names of copier/logwriter; 0 means its defaults.
var LogInline, LogPackSize int
