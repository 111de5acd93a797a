package store

import (
	"context"
	"errors"
)

// Sentinels for the outcomes that callers decide by. Implementations wrap them
// with the key and the store; test with errors.Is.
var (
	// ErrNotExist reports that there is no object under the key.
	ErrNotExist = errors.New("store: no such object")
	// ErrPrecondition reports that a conditional put did not happen, because
	// the object is not in the state that its Condition names.
	ErrPrecondition = errors.New("store: precondition failed")
	// ErrNotModified answers a Get whose IfNoneMatch is the current ETag.
	ErrNotModified = errors.New("store: not modified")
	// ErrNoBucket reports that the bucket itself does not exist.
	ErrNoBucket = errors.New("store: no such bucket")
	// ErrAccess reports missing, wrong, or insufficient credentials.
	ErrAccess = errors.New("store: access denied")
	// ErrBadKey reports a key that is empty, too long, or not UTF-8.
	ErrBadKey = errors.New("store: bad key")
	// ErrBadRange reports a Get of a range that the object does not have.
	ErrBadRange = errors.New("store: bad range")
	// ErrBadCondition reports a Condition that asks for two things at once.
	ErrBadCondition = errors.New("store: bad condition")
	// ErrTooLarge reports an object over the limit of ReadAll.
	ErrTooLarge = errors.New("store: object too large")
	// ErrUnknownOutcome reports a conditional put whose reply was lost or was
	// a server error: it may or may not have happened. Read back to find out.
	ErrUnknownOutcome = errors.New("store: unknown outcome")
)

// final are the sentinels that the same call would only get again.
var final = []error{
	ErrNotExist, ErrPrecondition, ErrNotModified, ErrNoBucket, ErrAccess,
	ErrBadKey, ErrBadRange, ErrBadCondition, ErrTooLarge, context.Canceled,
}

// IsNotExist reports whether err says that the object, or its bucket, is absent.
func IsNotExist(err error) bool {
	return errors.Is(err, ErrNotExist) || errors.Is(err, ErrNoBucket)
}

// IsPermanent reports whether trying again is pointless. An error that has a
// method Permanent() bool decides for itself; an unknown outcome is never
// permanent, whatever it wraps.
func IsPermanent(err error) bool {
	if err == nil || errors.Is(err, ErrUnknownOutcome) {
		return false
	}
	for _, sentinel := range final {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}
