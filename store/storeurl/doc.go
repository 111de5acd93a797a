// Package storeurl opens stores by URL.
//
//	file:///absolute/directory
//	s3://bucket/prefix?region=eu-central-1
//	s3://bucket/prefix?endpoint=http://127.0.0.1:9000
//
// Parameters of s3 URLs:
//
//	region         the region, or a name that stands for an endpoint (see s3.Resolve)
//	endpoint       the service's URL, if it isn't AWS
//	path_style     1: the bucket is in the path, 0: in the host name; 1 is the default with an endpoint
//	create_bucket  1: create the bucket if it doesn't exist
//	checksum       when_required (the default) or when_supported
//
// Credentials never stand in a URL. They come from where the AWS tools look:
// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, shared files, and so on.
package storeurl
