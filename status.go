package boule

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store/retry"
	"github.com/boule-db/boule/store/target"
)

// DatabaseStatus tells how far the replication of one database is. It is
// measured: the database's header is read, and each store is asked.
type DatabaseStatus struct {
	Path string `json:"path"`
	// Mode is "rollback", "wal" (not replicated), "empty", "absent" or
	// "unreadable".
	Mode    string    `json:"mode"`
	Size    int64     `json:"size"`
	Changed time.Time `json:"changed,omitzero"` // last change of the file
	Warning string    `json:"warning,omitempty"`
	// Targets are those configured, in their order, then those of other
	// configurations that have a spool.
	Targets []TargetStatus `json:"targets"`
}

// TargetStatus tells what one target holds of a database.
type TargetStatus struct {
	Target   string `json:"target"`
	Manifest string `json:"manifest"`
	// What waits in the spool.
	SpooledChunks int       `json:"spooled_chunks"`
	SpooledBytes  int64     `json:"spooled_bytes"`
	StagedTime    time.Time `json:"staged_time,omitzero"`
	// What the store has: the time of the database's last change that the
	// remote manifest knows.
	RemoteTime time.Time `json:"remote_time,omitzero"`
	RemoteSize int64     `json:"remote_size"`
	// InSync says that the store holds the database as it is now.
	InSync bool `json:"in_sync"`
	// Lag is how old the state in the store is, if it is not the present one: no
	// more than that is at risk. Zero when in sync, negative when the store has
	// nothing or can't be asked.
	Lag   time.Duration `json:"lag_ns"`
	Error string        `json:"error,omitempty"`

	*Activity // of all programs that copied the database; nil if that is not known
	*Stored   // what the replica takes in the store; nil but after [TargetStatus.Measure]

	target target.Target
	staged *manifest.Manifest // in the spool; nil if nothing is
	logged *logged            // nil but in the layout log
}

// Measure asks the store what the replica takes there: [TargetStatus.Stored]. A replica in the layout log is listed, and its newest
// index is read. In the layout chunks that would take a request for each chunk: [Usage] makes them, and here it stays unknown.
func (t *TargetStatus) Measure(ctx context.Context) error {
	if t.logged == nil {
		return nil
	}
	stored, err := t.logged.stored(ctx)
	if err != nil {
		return fmt.Errorf("boule: %w", err)
	}
	t.Stored = &stored
	return nil
}

// Status measures the replication of the databases at paths, or of all that have
// a spool when there are none. Of a store that does not answer within 10 s it says so. A nil cfg stands for what [ConfigFromEnv] gives.
func Status(ctx context.Context, cfg *Config, paths ...string) ([]DatabaseStatus, error) {
	cfg, err := effective(cfg)
	if err != nil {
		return nil, err
	}
	dir, err := cfg.spoolDir()
	if err != nil {
		return nil, err
	}
	spools, err := readSpools(dir)
	if err != nil && len(paths) == 0 {
		return nil, err
	} // else each of them is told why it has no spool
	wanted := map[string]bool{}
	for _, p := range paths {
		if err := exists(p); err != nil {
			return nil, err
		}
		wanted[CanonicalPath(p)] = true
	}
	byPath := map[string][]spoolInfo{}
	for _, s := range spools {
		if len(paths) == 0 || wanted[s.Path] {
			byPath[s.Path] = append(byPath[s.Path], s)
		}
	}
	for p := range wanted {
		if byPath[p] == nil {
			byPath[p] = []spoolInfo{}
		}
	}
	lost := unflushed(dir)
	for _, u := range lost {
		if len(paths) == 0 && byPath[u.Path] == nil {
			byPath[u.Path] = []spoolInfo{}
		}
	}
	var all []DatabaseStatus
	for path, infos := range byPath {
		all = append(all, databaseStatus(cfg, dir, path, infos))
	}
	slices.SortFunc(all, func(a, b DatabaseStatus) int { return strings.Compare(a.Path, b.Path) })

	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range all {
		for j := range all[i].Targets {
			g.Go(func() error {
				askStore(ctx, &all[i], &all[i].Targets[j])
				return ctx.Err()
			})
		}
	}
	err = g.Wait()
	for i := range all {
		all[i].warnUnflushed(lost)
	}
	return all, err
}

// warnUnflushed says that changes of before a restart of the machine are not in a store, if it is so.
func (st *DatabaseStatus) warnUnflushed(lost []spool.Unflushed) {
	for _, u := range lost {
		for _, t := range st.Targets {
			if u.Path != st.Path || u.Target.ID != t.target.ID() || t.InSync {
				continue
			}
			w := "changes from before the machine was restarted had not been uploaded to " + t.Target + ": open the database, or sync it"
			if st.Warning != "" {
				w = st.Warning + "; " + w
			}
			st.Warning = w
		}
	}
}

func databaseStatus(cfg *Config, dir, path string, infos []spoolInfo) DatabaseStatus {
	st := DatabaseStatus{Path: path, Targets: []TargetStatus{}}
	_, st.Mode, st.Size, st.Changed = readHeader(path)
	if st.Mode == "wal" {
		st.Warning = strings.TrimPrefix(ErrWAL.Error(), "boule: ")
	} else if len(cfg.durable()) > 0 {
		if err := whyNotSpooled(dir, path); err != nil {
			st.Warning = "not replicated by this user: " + strings.TrimPrefix(err.Error(), "boule: ")
		}
	}
	name := manifest.Name(cfg.hostname(), path)
	have := map[string]bool{}
	for _, s := range present(path, infos) {
		t := TargetStatus{
			target:        s.target,
			Target:        s.target.String(),
			Manifest:      s.name,
			SpooledChunks: s.Staged.Chunks + s.Ready.Chunks + s.Consuming.Chunks,
			SpooledBytes:  s.Staged.Bytes + s.Ready.Bytes + s.Consuming.Bytes,
			Activity:      s.activity,
		}
		if t.staged = s.staged; s.staged != nil {
			t.StagedTime = s.staged.SourceTime
		} else {
			t.Manifest = name
		}
		have[s.target.ID()] = true
		st.Targets = append(st.Targets, t)
	}
	order := map[string]int{}
	for i, t := range cfg.durable() {
		order[t.ID()] = i - len(cfg.Targets) // before those of other configurations
		if !have[t.ID()] {
			st.Targets = append(st.Targets, TargetStatus{target: t, Target: t.String(), Manifest: name})
		}
	}
	slices.SortStableFunc(st.Targets, func(a, b TargetStatus) int {
		return cmp.Compare(order[a.target.ID()], order[b.target.ID()])
	})
	return st
}

// askPatience is how long a store may take to tell what it has: whoever asks for the status does so because something is wrong.
var askPatience = 10 * time.Second

// askStore completes t with what the store says.
func askStore(ctx context.Context, st *DatabaseStatus, t *TargetStatus) {
	ctx, cancel := context.WithTimeoutCause(ctx, askPatience, fmt.Errorf("no answer within %v", askPatience))
	defer cancel()
	var last atomic.Pointer[error]
	ctx = retry.Observe(ctx, func(err error) { last.Store(&err) })
	r, err := newest(ctx, []target.Target{t.target}, t.Manifest, nil, "")
	if err != nil {
		t.Error, t.Lag = strings.TrimPrefix(err.Error(), "boule: "), -1
		if e := last.Load(); e != nil && ctx.Err() != nil {
			t.Error += ": " + (*e).Error()
		}
		return
	}
	m := r.Manifest
	t.logged = r.logged
	t.RemoteTime, t.RemoteSize = m.SourceTime, m.Size
	header, mode, size, _ := readHeader(st.Path)
	t.InSync = mode == "rollback" && header == m.Header && size == m.Size &&
		!t.forked(m, header) && !differ(m.VersionID, readID(st.Path, header))
	if !t.InSync && mode != "absent" && mode != "empty" {
		t.Lag = max(time.Since(m.SourceTime), time.Millisecond)
	}
}

// forked says that the store has another state than this machine staged, though with the same header: two writers that began with copies of one
// database, and made as many transactions since.
func (t *TargetStatus) forked(m *manifest.Manifest, header manifest.Fingerprint) bool {
	s := t.staged
	return s != nil && s.Header == header && s.Size == m.Size && s.Contents() != m.Contents()
}

// differ says that two ids are known, and not the same.
func differ(a, b []byte) bool { return len(a) > 0 && len(b) > 0 && !bytes.Equal(a, b) }
