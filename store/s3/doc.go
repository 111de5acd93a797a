// Package s3 is a store in a bucket of an S3-compatible service.
//
// It keeps to what such services have in common, and checks what they are known
// to differ in:
//
//   - Requests carry no checksum trailer unless asked to (older Ceph refuses it).
//   - If-Match is sent without quotes (older Ceph never matches a quoted one);
//     a service that turns out to want them gets them.
//   - A conditional put that is answered by a server error, or not at all, may
//     have happened: it is store.ErrUnknownOutcome, never a plain failure.
//   - Some services accept a copy of an object onto itself and leave its time
//     alone. Touch looks, and puts the object again where that is so.
//
// It does not retry (see store/retry); each request is bounded in time. One
// call may be several requests: a listing, a Touch, a Head that wants to know
// whether the bucket exists. All of them pass the store.Gate.
package s3
