// Package s3 is a store in a bucket of an S3-compatible service.
package s3
