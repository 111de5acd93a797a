// Package storefault decorates a store with failures, for tests: the plan says
// of every call whether it fails, is carried out but its reply is lost, waits,
// or breaks off in the middle of a body or a listing.
package storefault
