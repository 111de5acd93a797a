// Package replica is the read side: it finds the manifest of a replicated database
// in stores, serves reads of the snapshot that it describes, and restores it to a file
// or a stream.
//
// Nothing is believed. A manifest is validated when it is fetched, every chunk is
// compared with its fingerprint before a byte of it is used, and a store whose copy is
// missing or damaged is passed over for the next one. What no store has intact is an
// error that names the chunk and the stores; it never becomes wrong data.
//
// Sources are asked in the order in which they are given. The first one that has a
// valid manifest decides which snapshot is read, even if another has a newer one:
// asking all of them for every poll would cost every reader the requests of every
// store, and make all wait for the slowest. So put the store that you trust to be
// fresh first.
//
// Chunks come, in this order, from: the well-known chunk of zeros, the first chunk
// inside the manifest, the [Cache] that the process shares, the sources.
//
// The package writes to no store. It retries nothing: stores do that.
package replica
