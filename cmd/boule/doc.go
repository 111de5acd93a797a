// Command boule replicates SQLite databases to object stores and brings them
// back: a shell whose writes replicate, sync and flush, restore, inspection of
// manifests, status, and a demonstration that needs no store.
//
// Exit status: 0 done, 1 failed, 2 wrong usage (arguments or configuration).
package main
