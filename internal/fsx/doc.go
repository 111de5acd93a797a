// Package fsx holds the few file operations that Boule makes, so that every
// one of them can be made to fail in a test and none can leave its root.
package fsx
