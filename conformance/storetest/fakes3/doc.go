// Package fakes3 starts an S3 service inside the test process: objects in
// memory, signatures checked, atomic conditional puts, and faults on demand.
package fakes3
