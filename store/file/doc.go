// Package file is a store in a directory.
package file
