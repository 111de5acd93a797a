// Package budget holds a process to a number of requests per second.
//
// The bound is strict: in every interval of t seconds, however the callers are
// scheduled, at most burst + rate*t requests begin. Each request counts, every
// attempt and every page of a listing too, so the stack is retry(budget(raw)).
// Explicit flushes have a bucket of their own, see WithFlush.
package budget
