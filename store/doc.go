// Package store is the object-store interface that replication goes through:
// whole objects under flat keys, conditional puts, and error classes that
// callers can decide by.
//
// Implementations live below: store/s3 for S3-compatible services, store/file
// for a directory, store/mem for tests. store/retry and store/budget decorate
// any of them; store/storeurl and store/target open them by URL and by JSON
// specification. The suite in conformance/storetest says what each must do.
//
// # Keys
//
// A key is 1 to 1024 bytes of UTF-8; every such key is legal and distinct from
// every other ("a", "a/", "a//b", "%2F" and "." included). Some real services
// refuse some of them; Boule's own keys work everywhere.
package store
