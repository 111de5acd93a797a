// Package recent remembers the few values that were used last.
package recent
