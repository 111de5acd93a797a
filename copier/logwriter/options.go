package logwriter

import (
	"log/slog"
	"time"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// Options configures a [Writer]. In each field zero means the default.
type Options struct {
	// Owner is who appends. Required.
	Owner remotelog.Owner
	// Adopt is how old the newest entry of another owner must be for the replica to be adopted; 60s.
	// Negative: it never is.
	Adopt time.Duration
	// Known is the sequence of a snapshot that was appended on behalf of the owner's spool: if the newest entry is one of these, and older, others behind it may
	// be there though they are not found in the usual way. 0 is not known.
	Known uint64
	// PackSize is how many bytes of frames a pack has; 10 MiB.
	PackSize int
	// Inline is how many bytes of frames an entry has at most; more go to packs; 4 MiB. Negative: all do.
	Inline int
	// Jobs is how many packs are uploaded at a time. As many and one more are in memory, and as many entries that are put into bundles; 4.
	Jobs int
	// LatestEvery is after how many entries the copy of the newest is refreshed, if not before by RefreshLatest; 16.
	LatestEvery int
	// Remember is of how many chunks the writer knows the pages that it uploaded last, so that only those are
	// uploaded that differ; 32768, with about 350 bytes each. Negative: none.
	Remember int
	// Logger gets what nobody has to know at once. Nil discards it.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Compress makes frames; nil means remotelog.AppendFrame. Others bound how much is compressed at a time.
	Compress func(b []byte, kind remotelog.Kind, raw []byte) []byte
	// Keep is called now and then while an append is uploading packs: what pages returns is what Pages would if the append had failed
	// by then. Whoever keeps it does not upload these packs again after a crash. It may be nil.
	Keep func(pages func() []byte)
	// Request is told of each request before it is sent, with the bytes of its body. It may be nil, and is
	// called concurrently.
	Request func(verb store.Verb, bytes int)
}

func (o Options) withDefaults() Options {
	def := func(p *int, d int) {
		switch {
		case *p == 0:
			*p = d
		case *p < 0:
			*p = 0
		}
	}
	if o.Adopt == 0 {
		o.Adopt = time.Minute
	}
	def(&o.PackSize, 10<<20)
	def(&o.Inline, 4<<20)
	def(&o.Jobs, 4)
	def(&o.LatestEvery, 16)
	def(&o.Remember, 32768)
	o.Jobs, o.LatestEvery = max(o.Jobs, 1), max(o.LatestEvery, 1)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Compress == nil {
		o.Compress = remotelog.AppendFrame
	}
	if o.Request == nil {
		o.Request = func(store.Verb, int) {}
	}
	return o
}
