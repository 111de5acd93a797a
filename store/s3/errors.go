package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/boule-db/boule/store"
)

// An Error is a failed request. It wraps the sentinel of package store that
// says what to make of it, if there is one.
type Error struct {
	Verb   store.Verb
	Key    string // empty if the request was about the bucket
	Store  string // the store's URL
	Status int    // HTTP status; zero if there was no answer
	Code   string // the service's name for it, if it gave one

	kind      error // sentinel, or nil
	permanent bool
	sent      bool // the service may have acted on the request
	detail    string
	cause     error
}

func (e *Error) Error() string {
	msg := string(e.Verb)
	if e.Verb != store.VerbBucket {
		msg += fmt.Sprintf(" %q in", e.Key)
	}
	msg += " " + e.Store + ": "
	if e.kind != nil {
		msg += e.kind.Error() + ": "
	}
	return msg + e.detail
}

// Unwrap returns the sentinel and the SDK's error.
func (e *Error) Unwrap() []error {
	if e.kind == nil {
		return []error{e.cause}
	}
	return []error{e.kind, e.cause}
}

// Permanent reports whether the service will say the same again.
func (e *Error) Permanent() bool { return e.permanent }

// codes are the service's names for outcomes, where the status does not tell.
var codes = map[string]error{
	"NoSuchKey":            store.ErrNotExist,
	"NotFound":             store.ErrNotExist, // of a head, whose answer has no body
	"NoSuchVersion":        store.ErrNotExist,
	"NoSuchBucket":         store.ErrNoBucket,
	"PreconditionFailed":   store.ErrPrecondition,
	"NotModified":          store.ErrNotModified,
	"InvalidRange":         store.ErrBadRange,
	"KeyTooLongError":      store.ErrBadKey,
	"InvalidAccessKeyId":   store.ErrAccess,
	"InvalidToken":         store.ErrAccess,
	"ExpiredToken":         store.ErrAccess,
	"TokenRefreshRequired": store.ErrAccess,
	"XAdminUserNotFound":   store.ErrAccess, // a 404 of versitygw
}

// transient are the 4xx codes after which trying again may help.
var transient = map[string]bool{
	"ConditionalRequestConflict":  true, // another writer was at it
	"OperationAborted":            true,
	"RequestTimeout":              true,
	"SlowDown":                    true,
	"BadDigest":                   true, // damaged on the way
	"IncompleteBody":              true,
	"XAmzContentChecksumMismatch": true,
}

// statuses are the outcomes that need no name. 404 is not among them: there are
// other things that may be missing, and proxies on the way.
var statuses = map[int]error{
	http.StatusNotModified:                  store.ErrNotModified,
	http.StatusUnauthorized:                 store.ErrAccess,
	http.StatusForbidden:                    store.ErrAccess,
	http.StatusPreconditionFailed:           store.ErrPrecondition,
	http.StatusRequestedRangeNotSatisfiable: store.ErrBadRange,
}

// wrap returns err, of a request about a key (or about the bucket), as an *Error.
func (s *Store) wrap(verb store.Verb, key string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Verb: verb, Key: key, Store: s.String(), cause: err, detail: err.Error()}
	var cred *credentialsError
	if errors.As(err, &cred) {
		e.kind, e.detail = store.ErrAccess, cred.Error()
		return e
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		e.Code = api.ErrorCode()
		if e.Code == "UnknownError" || e.Code == "NotFound" && verb != store.VerbHead {
			e.Code = "" // the SDK's words for an answer without a code
		}
	}
	var re *smithyhttp.ResponseError
	if errors.As(err, &re) {
		e.Status = re.HTTPStatusCode()
	}
	e.sent = !isDial(err)
	if e.Status == 0 {
		return e
	}
	if e.kind = codes[e.Code]; e.kind == nil {
		e.kind = statuses[e.Status]
	}
	switch {
	case e.Status < 400 && e.Status >= 300 && e.kind == nil:
		e.permanent = true
		e.detail = fmt.Sprintf("the service answers %d %s: this bucket is elsewhere%s", e.Status, e.Code, region(re))
		return e
	case e.kind == nil && isCut(err): // what was wrong got lost on the way: ask again
		e.detail = fmt.Sprintf("HTTP %d, and the rest of the answer did not arrive: %v", e.Status, err)
		return e
	case e.Status == http.StatusRequestTimeout || e.Status == http.StatusTooManyRequests || transient[e.Code]:
	case e.Status >= 400 && e.Status < 500:
		e.permanent = true
	}
	e.detail = fmt.Sprintf("HTTP %d", e.Status)
	if e.Code != "" {
		e.detail += " " + e.Code
	}
	if api != nil && api.ErrorMessage() != "" && api.ErrorMessage() != "UnknownError" {
		e.detail += ": " + api.ErrorMessage()
	}
	if errors.Is(e.kind, store.ErrAccess) {
		e.detail += fmt.Sprintf(" (bucket %q at %s)", s.bucket, s.endpoint())
	}
	return e
}

// region is what a redirect says about where the bucket is.
func region(re *smithyhttp.ResponseError) string {
	if r := re.HTTPResponse().Header.Get("X-Amz-Bucket-Region"); r != "" {
		return fmt.Sprintf(", in region %q", r)
	}
	return ""
}

// isDial reports whether err happened before anything was sent.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// isCut reports whether err is that an answer's body ended early, or could not
// be read: a server that answers before it has read all of a request may end the
// connection under both.
func isCut(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) || errors.Is(err, io.ErrUnexpectedEOF)
}

// unknown turns the failure of a conditional put that may nevertheless have
// happened, or may still happen, into store.ErrUnknownOutcome. A service that has no conditional
// puts, and says so, is errors.ErrUnsupported.
func unknown(err error) error {
	var e *Error
	if !errors.As(err, &e) || !e.sent {
		return err
	}
	if e.Status == http.StatusNotImplemented && e.Code == "NotImplemented" {
		e.kind, e.permanent = errors.ErrUnsupported, true
		return err
	}
	noAnswer := e.Status < 300 // or one that made no sense
	if noAnswer || e.Status >= 500 || e.Status == http.StatusConflict && !e.permanent {
		e.kind, e.permanent = store.ErrUnknownOutcome, false
	}
	return err
}

// credentials marks the errors of finding credentials as such.
type credentials struct{ aws.CredentialsProvider }

// credentialsError says that there are no usable credentials.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string {
	return fmt.Sprintf("no usable credentials (set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile): %v", e.err)
}

func (e *credentialsError) Unwrap() error { return e.err }

func (c credentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	v, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = &credentialsError{err}
	}
	return v, err
}
