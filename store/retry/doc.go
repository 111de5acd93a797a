// Package retry is the one layer that tries requests again. It retries what
// the store does not call permanent, with growing waits, and finds out by
// reading back what became of a conditional put whose reply was lost.
package retry
