package spool

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/internal/instance"
)

// A Target is a place to replicate to. Spec is opaque here; it must hold no credentials.
type Target struct {
	ID   string          `json:"id"`
	Spec json.RawMessage `json:"spec"`
}

// Metadata is what a spool says of itself.
type Metadata struct {
	Version int    `json:"version"`
	Path    string `json:"path"` // of the database
	Target  Target `json:"target"`
}

// A Root is the directory of the spools of this boot. It is safe for concurrent use.
type Root struct {
	prefix  string
	perm    fs.FileMode
	opts    *Options
	boot    instance.ID
	counter atomic.Uint64
	share   atomic.Pointer[share] // set when the prefix could be opened

	mu    sync.Mutex // guards the fields below
	dir   string     // name of the directory of this boot, in prefix, as last seen
	found bool       // it was seen

	cleaned atomic.Bool // what is cleaned once per process
}

// OpenRoot returns the root of the spools in PREFIX/boule-<boot>-v1. It makes nothing and needs
// nothing to be there: what is missing is made when a spool is. So a prefix that can't be used now
// may be later, see [Root.Check]. It fails only if the boot can't be told.
//
// Of perm, what it says of the group counts when PREFIX is made: 0770 shares the spools with the
// group that PREFIX gets, and may add to it. Everything below follows the group permissions that PREFIX
// has, whoever made it. Others never get any.
func OpenRoot(prefix string, perm fs.FileMode, opts *Options) (*Root, error) {
	abs, err := filepath.Abs(prefix)
	if err != nil {
		return nil, fmt.Errorf("spool: open root: %w", err)
	}
	r := &Root{prefix: abs, perm: (&share{group: perm & 0o070}).dir(), opts: opts.withDefaults()}
	if r.boot = r.opts.Boot; r.boot.UUID == "" {
		if r.boot, err = instance.Boot(); err != nil {
			return nil, fmt.Errorf("spool: open root: %w", err)
		}
	}
	r.dir = bootName(r.boot)
	if base, err := r.open(false); err == nil {
		base.Close()
	}
	return r, nil
}

// probe finds the directory of this boot, whose name may tell a slightly different time, or
// makes it if it should. If there are two, since two processes made theirs at the same time, the
// first in time counts for everybody from the next writing on. The error is fs.ErrNotExist if there is none.
func (r *Root) probe(base fsx.FS, create bool) (fsx.Info, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.found && !create { // as nearly always
		if info, err := base.Stat(r.dir); !errors.Is(err, fs.ErrNotExist) {
			return info, err
		}
	}
	info, err := r.lookUp(base)
	if !create || !errors.Is(err, fs.ErrNotExist) {
		return info, err
	}
	if err := r.ensureDir(base, r.dir); err != nil {
		return fsx.Info{}, err
	}
	return r.lookUp(base)
}

// lookUp looks for the directory of this boot. r.mu is held.
func (r *Root) lookUp(base fsx.FS) (info fsx.Info, err error) {
	for drift := int64(-bootDrift); drift <= bootDrift; drift++ {
		id := r.boot
		id.Time += drift
		name := bootName(id)
		if info, err = base.Stat(name); err == nil {
			r.dir, r.found = name, true
			return info, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fsx.Info{}, err
		}
	}
	return fsx.Info{}, err
}

// name returns the name of the directory of this boot, in prefix.
func (r *Root) name() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dir
}

// Dir returns the path of the directory of this boot.
func (r *Root) Dir() string { return filepath.Join(r.prefix, r.name()) }

// open opens the prefix anew. Roots keep no handle, because the prefix may be deleted and made
// again at any time.
func (r *Root) open(create bool) (fsx.FS, error) {
	base, err := r.opts.openFS(r.prefix)
	if errors.Is(err, fs.ErrNotExist) && create {
		if err := r.makeDir(r.prefix); err != nil {
			return nil, err
		}
		if base, err = r.opts.openFS(r.prefix); errors.Is(err, fs.ErrNotExist) && r.opts.real {
			err = cmp.Or(leadsNowhere(r.prefix), err)
		}
	}
	if err != nil {
		return nil, err
	}
	if err = r.inspect(base, create); err != nil {
		base.Close()
		return nil, err
	}
	return base, nil
}

// makeDir makes a directory, the prefix or a parent of it, and its missing parents.
func (r *Root) makeDir(dir string) error {
	up := filepath.Dir(dir)
	parent, err := r.opts.openFS(up)
	if errors.Is(err, fs.ErrNotExist) && up != dir {
		if err := r.makeDir(up); err != nil {
			return err
		}
		parent, err = r.opts.openFS(up)
	}
	if err != nil {
		return err
	}
	defer parent.Close()
	name := filepath.Base(dir)
	perm := r.perm // of which the umask takes some
	if dir != r.prefix {
		perm &= 0o750 // enough to reach the prefix
	}
	err = parent.Mkdir(name, perm.Perm())
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = parent.Chmod(name, perm)
	}
	return err
}

// Producer opens the spool of db for t, and creates it when missing. After an error a new
// spool is either whole or not visible.
func (r *Root) Producer(db DB, t Target) (*Producer, error) {
	if err := ValidPath(db.Path); err != nil {
		return nil, fmt.Errorf("spool: open producer: %w", err)
	}
	if !validTarget(t.ID) {
		return nil, fmt.Errorf("spool: open producer: %w: target id %q", ErrCorrupt, t.ID)
	}
	p := &Producer{root: r, db: db, target: t, key: KeyOf(db, t.ID)}
	if err := p.reopen(); err != nil {
		return nil, fmt.Errorf("spool: open producer: %w", err)
	}
	return p, nil
}

// Consumer opens an existing spool; the error is fs.ErrNotExist when there is none, and [ErrUnsafe] when
// what it says may come from somebody who has no business there.
func (r *Root) Consumer(k Key) (*Consumer, error) {
	base, err := r.open(false)
	if err != nil {
		return nil, fmt.Errorf("spool: open consumer: %w", err)
	}
	defer base.Close()
	dir, err := base.Sub(r.name() + "/" + k.String())
	if err != nil {
		return nil, fmt.Errorf("spool: open consumer: %w", err)
	}
	info, err := dir.Stat(".")
	if err == nil {
		err = r.share.Load().judge(filepath.Join(r.Dir(), k.String()), info)
	}
	if err != nil {
		dir.Close()
		return nil, fmt.Errorf("spool: open consumer: %w", err)
	}
	return &Consumer{key: k, dir: dir, root: r}, nil
}

// Tap returns the last manifest that the target acknowledged, and when that was noted. The
// error is fs.ErrNotExist when there is none.
func (r *Root) Tap(target, name string) ([]byte, time.Time, error) {
	fail := func(err error) ([]byte, time.Time, error) {
		return nil, time.Time{}, fmt.Errorf("spool: read tap: %w", err)
	}
	file, err := r.tapName(target, name)
	if err != nil {
		return fail(err)
	}
	base, err := r.open(false)
	if err != nil {
		return fail(err)
	}
	defer base.Close()
	info, err := base.Stat(file) // before the content, so that the time is not too late
	if err != nil {
		return fail(err)
	}
	data, err := base.ReadFile(file)
	if err != nil {
		return fail(err)
	}
	return data, info.ChangeTime, nil
}

// WriteTap replaces the tap of the manifest. After an error the old one is intact.
func (r *Root) WriteTap(target, name string, data []byte) error {
	file, err := r.tapName(target, name)
	if err != nil {
		return fmt.Errorf("spool: write tap: %w", err)
	}
	if err := r.publishTap(file, data); err != nil {
		return fmt.Errorf("spool: write tap: %w", err)
	}
	return nil
}

// publishTap makes a file appear in a directory of taps, which is made if it is missing.
func (r *Root) publishTap(file string, data []byte) error {
	base, err := r.open(true)
	if err != nil {
		return err
	}
	defer base.Close()
	dir := path.Dir(file)
	return unlessReplaced(func() error {
		err := r.publish(base, dir+"/."+r.scratchName(), file, data, true)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := r.ensureDir(base, dir); err != nil {
			return err
		}
		return r.publish(base, dir+"/."+r.scratchName(), file, data, true)
	})
}

// TapToken returns what changes with each attempt to upload the manifest, see [Root.RenewTapToken].
func (r *Root) TapToken(target, name string) string {
	file, err := r.tapName(target, name)
	if err != nil {
		return ""
	}
	base, err := r.open(false)
	if err != nil {
		return ""
	}
	defer base.Close()
	token, err := base.ReadFile(tokenName(file))
	if err != nil {
		return "" // none yet
	}
	return string(token)
}

// RenewTapToken tells others who are uploading a manifest of the same name right now that another
// upload, successful or not, may have been carried out after theirs.
func (r *Root) RenewTapToken(target, name string) error {
	file, err := r.tapName(target, name)
	if err != nil {
		return fmt.Errorf("spool: renew tap token: %w", err)
	}
	if err := r.publishTap(tokenName(file), []byte(r.random())); err != nil {
		return fmt.Errorf("spool: renew tap token: %w", err)
	}
	return nil
}

func tokenName(tap string) string { return path.Dir(tap) + "/." + path.Base(tap) + ".token" }

// Pages returns what [Root.WritePages] wrote last. The error is fs.ErrNotExist when that was nothing.
func (r *Root) Pages(target, name string) ([]byte, error) {
	file, err := r.tapName(target, name)
	if err != nil {
		return nil, fmt.Errorf("spool: read pages: %w", err)
	}
	base, err := r.open(false)
	if err != nil {
		return nil, fmt.Errorf("spool: read pages: %w", err)
	}
	defer base.Close()
	data, err := base.ReadFile(pagesName(file))
	if err != nil {
		return nil, fmt.Errorf("spool: read pages: %w", err)
	}
	return data, nil
}

// WritePages keeps what a copier knows of the pages that it uploaded, beside the tap, for the next. Nothing
// is lost with it but that knowledge.
func (r *Root) WritePages(target, name string, data []byte) error {
	file, err := r.tapName(target, name)
	if err != nil {
		return fmt.Errorf("spool: write pages: %w", err)
	}
	if err := r.publishTap(pagesName(file), data); err != nil {
		return fmt.Errorf("spool: write pages: %w", err)
	}
	return nil
}

func pagesName(tap string) string { return path.Dir(tap) + "/." + path.Base(tap) + ".pages" }

// Report returns what [Root.WriteReport] wrote last of the spool. The error is fs.ErrNotExist when that was nothing.
func (r *Root) Report(key Key) ([]byte, error) {
	base, err := r.open(false)
	if err != nil {
		return nil, fmt.Errorf("spool: read report: %w", err)
	}
	defer base.Close()
	data, err := base.ReadFile(r.reportName(key))
	if err != nil {
		return nil, fmt.Errorf("spool: read report: %w", err)
	}
	return data, nil
}

// WriteReport keeps what a copier has to tell about the spool, beside the taps, so that it outlives the spool. Nothing depends on it.
func (r *Root) WriteReport(key Key, data []byte) error {
	if !validTarget(key.Target) {
		return fmt.Errorf("spool: write report: %w: target id %q", ErrCorrupt, key.Target)
	}
	if err := r.publishTap(r.reportName(key), data); err != nil {
		return fmt.Errorf("spool: write report: %w", err)
	}
	return nil
}

// reportName is the same for all files that the database's path leads to.
func (r *Root) reportName(key Key) string {
	return r.name() + "/" + tapDir + "/" + key.Target + "/." + key.Mangled + ".report"
}

func (r *Root) tapName(target, name string) (string, error) {
	if !validTarget(target) {
		return "", fmt.Errorf("%w: target id %q", ErrCorrupt, target)
	}
	if err := validName(name); err != nil {
		return "", err
	}
	return r.name() + "/" + tapDir + "/" + target + "/" + name, nil
}

// Close releases the Root. Producers and Consumers stay usable.
func (r *Root) Close() error { return nil }
