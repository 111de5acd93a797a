// Package manifest owns the snapshot format: how a database is cut into chunks,
// how chunks and manifests are named and compressed, and how a manifest, which
// describes one snapshot, is encoded.
//
// A database is cut into chunks of [ChunkSize] bytes, named by the XXH3-128 of
// their bytes. The list of their fingerprints is cut into blocks of [BlockChunks]. A
// manifest describes each [Block] by the name of an index block, which is that part of the
// list as it once was and is kept like a chunk, and by overrides, what has changed
// since; so a commit to a large database writes a small part of the list. It also carries the
// first chunk, a digest of the whole list, and says when and by whom the snapshot was
// taken. FORMAT.md beside this file is the specification, with the measurements that
// its bounds come from; manifest.proto is its schema for other programs.
//
// Everything that is decoded is checked: no manifest that breaks a rule of the
// format or has one bit altered gets out of [Decode], no list that differs from its
// digest out of [Manifest.Block], no chunk whose bytes differ from its name out of
// [DecompressChunk], and none of them allocates more than the format allows, whatever the
// input says about its length.
//
// The fingerprints find damage. They do not stop an adversary who may write to
// the store, for XXH3 is not a cryptographic hash.
//
// The package does no I/O and knows no store.
package manifest
