// Package e2e runs the boule program as a user would: scripts in testdata (see
// testscript), real processes that are killed, a full disk, stores that come and
// go. It has no exported API.
package e2e
