// Package progress tells how far long work is.
package progress
