package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
)

// source is how a command names a replica: a manifest by URI, or the path that
// the database had.
type source struct {
	manifest, path string
}

func (s *source) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.manifest, "manifest", "m", "", "manifest: boule://HOST/path, s3://bucket/key?…, http(s)://…, file:///path or a file")
	cmd.Flags().StringVarP(&s.path, "source-path", "s", "", "path of the database that was replicated (its host: --hostname)")
}

// refs are the references to try in turn. A path is tried as the tracker names
// it, with symbolic links resolved, and as it was typed.
func (s *source) refs(a *app) ([]string, error) {
	switch {
	case s.manifest != "" && s.path != "":
		return nil, usagef("give --manifest or --source-path, not both")
	case s.manifest != "":
		return []string{s.manifest}, nil
	case s.path != "":
		return a.pathRefs(s.path)
	}
	return nil, usagef("which replica? give --manifest URI or --source-path PATH")
}

// pathRefs are the references to the replica of the database at path.
func (a *app) pathRefs(path string) ([]string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	refs := []string{boule.SourceRef(a.cfg.Hostname, boule.CanonicalPath(path))}
	if typed := boule.SourceRef(a.cfg.Hostname, abs); typed != refs[0] {
		refs = append(refs, typed)
	}
	return refs, nil
}

// fetch gets the manifest by the first reference that names one.
func (a *app) fetch(ctx context.Context, refs []string) (*boule.Remote, error) {
	return firstOfRefs(a, refs, func(ref string) (*boule.Remote, error) { return boule.Fetch(ctx, ref, a.cfg) })
}

// firstOfRefs is what get returns for the first reference that leads to a replica.
func firstOfRefs[T any](a *app, refs []string, get func(ref string) (T, error)) (none T, first error) {
	for _, ref := range refs {
		got, err := get(ref)
		if err == nil {
			return got, nil
		}
		if first == nil {
			first = err
		}
		switch {
		case errors.Is(err, boule.ErrNoTarget):
			return none, a.needStore()
		case errors.Is(err, replica.ErrBadRef):
			return none, usage(err)
		case !errors.Is(err, boule.ErrNoReplica):
			return none, err
		}
	}
	return none, first
}

func newRestore(a *app) *cobra.Command {
	var src source
	var when moment
	var out string
	var force bool
	var jobs int
	cmd := &cobra.Command{
		Use:   "restore (--manifest URI | --source-path PATH) [--out FILE]",
		Short: "Write a replica back to a file, byte for byte",
		Long: `Restore fetches a manifest and its chunks, verifies every one of them, and writes
the database: to standard output, or with --out to a file that appears only when it is
complete and on disk. An existing file is refused without --force. --entry and --at choose an
earlier state, of those that 'boule history' lists.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if jobs < 0 || jobs > 256 {
				return usagef("--jobs %d: want between 1 and 256", jobs)
			}
			if err := checkOut(cmd, out); err != nil {
				return err
			}
			refs, err := src.refs(a)
			if err != nil {
				return err
			}
			get := func(ref string) (*boule.Remote, error) { return boule.Fetch(cmd.Context(), ref, a.cfg) }
			switch {
			case cmd.Flags().Changed("entry") && cmd.Flags().Changed("at"):
				return usagef("give --entry or --at, not both")
			case cmd.Flags().Changed("entry") && when.entry == 0:
				return usagef("--entry 0: entries count from 1")
			case when.entry != 0:
				get = func(ref string) (*boule.Remote, error) {
					return boule.FetchEntry(cmd.Context(), ref, when.entry, a.cfg)
				}
			case cmd.Flags().Changed("at"):
				t, err := parseTime(when.at, time.Now())
				if err != nil {
					return err
				}
				get = func(ref string) (*boule.Remote, error) { return boule.FetchAt(cmd.Context(), ref, t, a.cfg) }
			}
			return a.restore(cmd.Context(), refs, get, out, &boule.RestoreOptions{Overwrite: force, Jobs: jobs})
		},
	}
	src.flags(cmd)
	when.flags(cmd)
	cmd.Flags().StringVarP(&out, "out", "o", "", "file to write (default standard output)")
	cmd.Flags().BoolVarP(&force, "force", "f", false, "replace an existing file")
	cmd.Flags().IntVarP(&jobs, "jobs", "j", 0, "chunks fetched at once (default 16)")
	return cmd
}

// checkOut refuses an empty --out, as an unset variable gives it: that is not meant to be standard output.
func checkOut(cmd *cobra.Command, out string) error {
	if out == "" && cmd.Flags().Changed("out") {
		return usagef("--out is empty: give a file, or - for standard output")
	}
	return nil
}

func (a *app) restore(ctx context.Context, refs []string, get func(ref string) (*boule.Remote, error), out string, opts *boule.RestoreOptions) error {
	if out == "-" {
		out = ""
	}
	if out == "" && isTerminal(a.stdout) {
		return usagef("standard output is a terminal: give --out FILE")
	}
	if out != "" && !opts.Overwrite {
		// Told before anything is fetched; the commit checks again.
		if fileExists(out) {
			return fmt.Errorf("%s exists: choose another --out, or replace it with --force", out)
		}
	}
	remote, err := firstOfRefs(a, refs, get)
	if err != nil {
		return err
	}
	start := time.Now()
	bar := a.progress("restoring", remote.Manifest.Size)
	opts.Progress = bar.set
	var damaged []error
	opts.Damaged = func(err error) { damaged = append(damaged, err) }
	if out == "" {
		err = remote.RestoreTo(ctx, a.stdout, opts)
		if errors.Is(err, syscall.EPIPE) { // not the reader's right here: half a database is none
			err = errors.New("standard output was closed before the whole database was written")
		}
	} else {
		err = remote.RestoreFile(ctx, out, opts)
	}
	bar.finish()
	for _, d := range damaged {
		fmt.Fprintf(a.stderr, "warning: %v\n", d)
	}
	if err != nil {
		return err
	}
	took := time.Since(start)
	switch {
	case a.json && out != "":
		told := map[string]any{
			"out": out, "manifest": remote.Name, "size": remote.Manifest.Size,
			"source_time": remote.Manifest.SourceTime, "ms": took.Milliseconds(),
		}
		if remote.Entry != 0 {
			told["entry"] = remote.Entry
		}
		return a.printJSON(told)
	case isTerminal(a.stderr):
		fmt.Fprintf(a.stderr, "restored %s in %v: the state of %s\n", humanize.IBytes(uint64(remote.Manifest.Size)),
			took.Round(time.Millisecond), remote.Manifest.SourceTime.Local().Format(time.DateTime))
	}
	return nil
}

// bar is a progress bar on a terminal, and nothing elsewhere.
type bar struct{ *progressbar.ProgressBar }

func (a *app) progress(what string, total int64) bar {
	if !isTerminal(a.stderr) {
		return bar{}
	}
	return bar{progressbar.NewOptions64(total,
		progressbar.OptionSetDescription(what),
		progressbar.OptionSetWriter(a.stderr),
		progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)}
}

// steps is a progress bar for what is counted, of a number that is not known yet.
func (a *app) steps(what string) bar {
	if !isTerminal(a.stderr) {
		return bar{}
	}
	return bar{progressbar.NewOptions(-1,
		progressbar.OptionSetDescription(what),
		progressbar.OptionSetWriter(a.stderr),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)}
}

func (b bar) steps(done, total int) {
	if b.ProgressBar != nil {
		b.ChangeMax(total)
		b.set(int64(done), int64(total))
	}
}

func (b bar) set(done, _ int64) {
	if b.ProgressBar != nil {
		_ = b.Set64(done) // a bar that can't be drawn is no reason to stop
	}
}

func (b bar) finish() {
	if b.ProgressBar != nil {
		_ = b.Finish()
	}
}

func newManifest(a *app) *cobra.Command {
	var out string
	var force bool
	cmd := &cobra.Command{
		Use:   "manifest PATH-OR-URI",
		Short: "Fetch the manifest of a replica",
		Long: `Manifest fetches and verifies the manifest of the database that was at PATH (on
--hostname), or the one that a URI names, and writes its bytes to standard output or
--out. On a terminal, and with --json, it prints what the manifest says.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOut(cmd, out); err != nil {
				return err
			}
			src := source{path: args[0]}
			if boule.IsRef(args[0]) {
				src = source{manifest: args[0]}
			}
			refs, err := src.refs(a)
			if err != nil {
				return err
			}
			remote, err := a.fetch(cmd.Context(), refs)
			if err != nil {
				return err
			}
			switch {
			case a.json:
				return a.printJSON(describe(remote))
			case out != "" && out != "-":
				return writeNew(out, remote.Raw, force)
			case isTerminal(a.stdout):
				return printManifest(a.stdout, remote)
			}
			_, err = a.stdout.Write(remote.Raw)
			return err
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "file to write (default standard output)")
	cmd.Flags().BoolVarP(&force, "force", "f", false, "replace an existing file")
	return cmd
}

type manifestJSON struct {
	Name       string    `json:"name"`
	Store      string    `json:"store"`
	Size       int64     `json:"size"`
	Chunks     int       `json:"chunks"`
	SourceTime time.Time `json:"source_time"`
	Sequence   uint64    `json:"sequence"`
	Header     string    `json:"header_fingerprint"`
	Contents   string    `json:"contents_fingerprint"`
	Generator  string    `json:"generator"`
	Writer     string    `json:"writer"`
}

func describe(r *boule.Remote) manifestJSON {
	m := r.Manifest
	return manifestJSON{
		Name: r.Name, Store: r.Store, Size: m.Size, Chunks: manifest.Count(m.Size), SourceTime: m.SourceTime, Sequence: m.Sequence,
		Header: m.Header.String(), Contents: m.Contents().String(), Generator: m.Generator, Writer: m.Writer,
	}
}

func printManifest(w io.Writer, r *boule.Remote) error {
	d := describe(r)
	_, err := fmt.Fprintf(w, "manifest   %s\nstore      %s\nsize       %d bytes in %d chunks\nsource of  %s\nwriter     %s (%s)\ncontents   %s\n",
		d.Name, d.Store, d.Size, d.Chunks, d.SourceTime.Local().Format(time.RFC3339Nano), d.Writer, d.Generator, d.Contents)
	return err
}

func newManifestName(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "manifest-name PATH",
		Short: "Print the name of the manifest of the database at PATH",
		Long: `Manifest-name prints under which name the database at PATH (on --hostname) has its
manifest in a store. It needs no store.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if args[0] == "" {
				return usagef("the path of the database is empty")
			}
			name, err := boule.ManifestName(a.cfg.Hostname, args[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]string{"manifest": name})
			}
			fmt.Fprintln(a.stdout, name)
			return nil
		},
	}
}
