// Package manifest owns the snapshot format: how a database is cut into chunks,
// how chunks and manifests are named and compressed, and how a manifest, which
// describes one snapshot, is encoded.
//
// A database is cut into chunks of [ChunkSize] bytes, named by the XXH3-128 of
// their bytes. A manifest lists their fingerprints, carries the first chunk, and says
// when and by whom the snapshot was taken. FORMAT.md beside this file is the
// specification, manifest.proto its schema for other programs.
//
// Everything that is decoded is checked: no manifest that breaks a rule of the
// format gets out of [Decode], no chunk whose bytes differ from its name out of
// [DecompressChunk], and neither allocates more than the format allows, whatever the
// input says about its length.
//
// The fingerprints find damage. They do not stop an adversary who may write to
// the store, for XXH3 is not a cryptographic hash.
//
// The package does no I/O and knows no store.
package manifest
