// Package remotelog is the format of the log layout: how a replica lies in a store as
// an append-only log of entries, with packs of frames beside it. FORMAT.md beside this file
// is the specification.
//
// An [Entry] describes a whole state of a database by itself: the bytes that [EncodeEntry]
// makes say where in the store each chunk is, by the frames that have its pages. Frames lie
// in the object of an entry, behind its header, or in packs. [AppendFrame] makes them of
// chunks, of pages of chunks ([AppendDeltas]) and of index blocks ([AppendIndex]), which are
// what entries know about 4096 successive chunks. A pack ends with a seal ([AppendSeal]), which says which pack it is, and how long.
//
// Everything that is decoded is checked: no entry or frame that has one bit altered, or breaks a
// rule of the format, gets out of [DecodeEntry] or [DecodeFrame], no list of chunks that differs from
// its digest out of [Entry.Block], no chunk whose bytes differ from its fingerprint out of
// [Chunk.Compose], and none of them allocates more than the format allows, whatever the
// input says about its length.
//
// The package does no I/O and knows no store.
package remotelog
