package replica

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/internal/progress"
	"github.com/boule-db/boule/manifest"
)

// defaultJobs is how many chunks are fetched at a time.
const defaultJobs = 16

func jobsOrDefault(jobs int) int {
	if jobs <= 0 {
		return defaultJobs
	}
	return jobs
}

// RestoreOptions configure [Restore], [RestoreFile] and [RestoreTo]. Nil is the
// same as the zero value.
type RestoreOptions struct {
	// Jobs is how many chunks are fetched at a time; 0 means 16. A restore needs
	// memory for a few chunks per job, and a few MiB for what it is about to fetch,
	// whatever the size of the database.
	Jobs int
	// Progress is called as bytes of the database are done, by one goroutine at a
	// time and with done never decreasing. It should return soon.
	Progress func(done, total int64)

	// Damaged is called, by one goroutine at a time, with what turned out to be damaged though the restore could do without, as with a
	// second copy of something. The error names the object. Only what is in the log layout has second copies.
	Damaged func(error)

	// Zeroed tells Restore that what it writes to reads as zeros already, and has
	// its full size: runs of zeros are then not written.
	Zeroed bool

	// Overwrite lets RestoreFile replace an existing file, and remove journals
	// beside it.
	Overwrite bool
	// Perm are the permissions, before the umask, of a file that RestoreFile
	// makes. 0 means those of the file that it replaces, else 0644 as SQLite does.
	Perm fs.FileMode

	open func(dir string) (fsx.FS, error) // for tests; nil means fsx.OS
}

func (o *RestoreOptions) withDefaults() RestoreOptions {
	var opts RestoreOptions
	if o != nil {
		opts = *o
	}
	opts.Jobs = jobsOrDefault(opts.Jobs)
	if opts.open == nil {
		opts.open = fsx.OS
	}
	return opts
}

// Restore writes the database that m describes to w, several parts at a time and in
// no order. All that it writes is verified. After an error, or when ctx is done,
// parts are missing.
func Restore(ctx context.Context, m *manifest.Manifest, sources []Source, w io.WriterAt, opts *RestoreOptions) error {
	o := opts.withDefaults()
	r, err := newReader(m, sources, nil)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	p := progress.New(o.Progress, m.Size)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(o.Jobs)
	stopped := false
	for at := 0; at < r.count() && !stopped; at += window {
		chunks, err := r.index.window(gctx, at, min(window, r.count()-at))
		if err != nil {
			g.Go(func() error { return err })
			break
		}
		job := restoreJob{reader: r, w: w, zeroed: o.Zeroed, progress: p, at: at, chunks: chunks}
		job.next, job.follows = repeats(chunks)
		for i := range chunks {
			if stopped = gctx.Err() != nil; stopped {
				break
			}
			if !job.follows[i] {
				g.Go(func() error { return job.run(gctx, i) })
			}
		}
	}
	err = g.Wait()
	if err == nil && stopped {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// window is how many chunks are planned at a time: enough that few are fetched more often than once, and
// few enough that the plan takes a few MiB, whatever the size of the database.
const window = 16 * manifest.BlockChunks

// A restoreJob writes the chunks of a window of one database.
type restoreJob struct {
	*reader
	w        io.WriterAt
	zeroed   bool
	progress *progress.Counter
	at       int // index of the window's first chunk
	chunks   []manifest.Fingerprint
	next     []int32
	follows  []bool
}

// run writes the chunk with index i in the window, and all there that are like it.
func (j *restoreJob) run(ctx context.Context, i int) error {
	f := j.chunks[i]
	chunk, err := j.chunkOf(ctx, j.at+i, f)
	if err != nil {
		return err
	}
	skip := j.zeroed && f == manifest.ZeroChunk
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := j.checkLen(j.at+i, f, chunk); err != nil {
			return err
		}
		if !skip {
			if _, err := j.w.WriteAt(chunk, int64(j.at+i)*manifest.ChunkSize); err != nil {
				return err
			}
		}
		j.progress.Add(len(chunk))
		if i = int(j.next[i]); i == 0 {
			return nil
		}
	}
}

// repeats finds chunks that occur more than once, so that they are fetched once:
// next leads from each to its next occurrence (0 if there is none), follows marks
// those that are one. That takes 9 bytes per chunk, where a map would take more than
// the fingerprints themselves.
func repeats(chunks []manifest.Fingerprint) (next []int32, follows []bool) {
	next, follows = make([]int32, len(chunks)), make([]bool, len(chunks))
	order := make([]int32, len(chunks))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		x, y := chunks[a], chunks[b]
		return cmp.Or(cmp.Compare(x.Hi, y.Hi), cmp.Compare(x.Lo, y.Lo), cmp.Compare(a, b))
	})
	for k := 1; k < len(order); k++ {
		if a, b := order[k-1], order[k]; chunks[a] == chunks[b] {
			next[a], follows[b] = b, true
		}
	}
	return next, follows
}
