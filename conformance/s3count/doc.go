// Package s3count is a proxy on loopback in front of an S3 service, that counts what is asked of it, by kind, and the
// bytes in both directions, and that can delay each request as a distant service would. It changes nothing of requests
// and answers, so signatures stay good.
package s3count
