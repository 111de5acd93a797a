// Package tuning has sizes that users cannot choose, for programs of this repository that want small databases to take the
// ways of large ones. A program sets them before it does anything else.
package tuning
