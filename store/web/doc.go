// Package web gets single objects by URL from web servers, read-only: manifests
// that somebody publishes over http. It is no [store.Store]: a web server can't be
// listed or written.
package web
