// Package attempt bounds one attempt at a request in time, in such a way that
// waiting for a budget in the middle of it does not count.
package attempt
