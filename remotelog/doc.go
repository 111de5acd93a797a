// Package remotelog is the format of the log layout: how a replica lies in a store as an append-only
// log of entries, with packs of frames beside it. FORMAT.md describes every byte. It does no I/O.
package remotelog
