// Package target is the specification of a replication target: where chunks
// and manifests go. Its JSON is an object with exactly one key, the kind.
//
//	{"s3": {"region": "eu-central-1", "bucket": "replicas", "prefix": "prod", "domain_addressing": true}}
//	{"s3": {"region": "us-east-1", "chunk_bucket": "chunks", "manifest_bucket": "manifests", "domain_addressing": true}}
//	{"file": {"directory": "/var/backups/replicas"}}
//	{"local": {"directory": "/var/cache/boule", "num_shards": 10, "capacity": 100000}}
//	{"read_only": {"directory": "/var/cache/shared"}}
//
// The last two are caches for reading, not places that a replica can live in.
//
// With "bucket" (and with s3 URLs) the keys are PREFIX/chunks/... and
// PREFIX/manifests/..., for file targets they are below DIRECTORY/chunks and
// DIRECTORY/manifests. With "chunk_bucket" and "manifest_bucket" they are at
// the root of each bucket, or below PREFIX.
//
// A specification has no credentials in it: it is written to disk and shown.
package target
