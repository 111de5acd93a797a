//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/store/target"
)

// patience is how long a child may take to end, once all faults are over.
const patience = 90 * time.Second

// A round is some seconds of trouble and the judgement after it.
type round struct {
	dir     string
	cache   string
	rng     *rand.Rand
	rep     *report
	plan    plan
	h       *history
	s3      *fakeS3    // may be nil
	file    *fileStore // may be nil
	targets []target.Target
	procs   []*proc

	mu     sync.Mutex
	count  int
	wrong  []string // divergences
	broken []error  // what the runner itself could not do
}

func (r *round) diverge(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

func (r *round) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = append(r.broken, err)
}

func (r *round) next() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	return r.count
}

// spec is the beginning of the spec of a child.
func (r *round) spec(kind string) spec {
	return spec{
		Kind: kind, Name: kind + "-" + strconv.Itoa(r.next()), Seed: r.rng.Uint64(),
		Dir: r.dir, Cache: r.cache, Targets: r.targets, Slots: r.plan.slots, Inline: r.plan.inline, PackSize: r.plan.packSize, MayFence: r.plan.mayFence(),
	}
}

// setUp makes directories and stores, and starts the processes.
func (r *round) setUp() error {
	for _, sub := range []string{"db", "records", "log", "kept", "verify"} {
		if err := os.MkdirAll(filepath.Join(r.dir, sub), 0o700); err != nil {
			return err
		}
	}
	if err := os.Symlink("a.db", filepath.Join(r.dir, "db", r.plan.slots[0].Link)); err != nil {
		return err
	}
	r.h = &history{dir: filepath.Join(r.dir, "kept"), faults: map[string]int{}}
	if r.plan.s3 {
		var err error
		if r.s3, err = startS3(filepath.Join(r.dir, "s3"), r.h, rand.New(rand.NewPCG(r.rng.Uint64(), 1)), r.plan.s3Layout); err != nil {
			return err
		}
		t, err := r.s3.target()
		if err != nil {
			return err
		}
		r.targets = append(r.targets, t)
	}
	if r.plan.file {
		var err error
		if r.file, err = startFile(filepath.Join(r.dir, "store"), r.h, r.plan.fileLayout); err != nil {
			return err
		}
		r.targets = append(r.targets, target.Target{File: &target.File{Directory: r.file.dir}, Layout: r.plan.fileLayout})
	}
	return r.startAll()
}

func (r *round) startAll() error {
	var specs []spec
	for _, modes := range r.plan.modes {
		s := r.spec("writer")
		s.Writer = writerSpec{Modes: modes, WAL: r.plan.wal, MaxBytes: r.plan.maxBytes, Pair: true}
		specs = append(specs, s)
	}
	links := r.spec("links")
	links.Slots = []slot{{Names: []string{"c.db", "c-hard.db"}}}
	links.Writer = writerSpec{Modes: journaled, MaxBytes: 300 << 10}
	specs = append(specs, links, r.spec("copier"), r.spec("reader"), r.spec("reader"))
	for _, s := range specs {
		p, err := r.start(s)
		if err != nil {
			return err
		}
		r.procs = append(r.procs, p)
	}
	return nil
}

// tearDown ends what is left.
func (r *round) tearDown() error {
	for _, p := range r.procs {
		p.kill()
	}
	var err error
	if r.file != nil {
		err = r.file.close()
	}
	if r.s3 != nil {
		r.s3.stop()
	}
	return err
}

// torment is the time of trouble.
func (r *round) torment(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var strangers sync.WaitGroup
	rng := rand.New(rand.NewPCG(r.rng.Uint64(), 2))
	strangers.Go(func() {
		if err := r.foreign(ctx, rng, r.plan.slots); err != nil {
			r.diverge("%v", err)
		}
	})
	r.chaos(ctx)
	strangers.Wait()
}

// calm ends all trouble and all processes.
func (r *round) calm() {
	if r.s3 != nil {
		r.s3.change(weathers[0])
	}
	if r.file != nil {
		if err := r.file.swap(false); err != nil {
			r.fail(err)
		}
	}
	var all sync.WaitGroup
	for _, p := range r.procs {
		all.Go(func() {
			if err := p.finish(patience); err != nil {
				r.diverge("%v", err)
			}
		})
	}
	all.Wait()
}

// databases are the files that there are.
func (r *round) databases() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(r.dir, "db"))
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasSuffix(e.Name(), ".db") {
			all = append(all, filepath.Join(r.dir, "db", e.Name()))
		}
	}
	return all, nil
}

// settle takes databases out of WAL mode, and removes files of which nothing was ever committed.
func (r *round) settle(ctx context.Context) error {
	dbs, err := r.databases()
	if err != nil {
		return err
	}
	for _, db := range dbs {
		head := make([]byte, 20)
		f, err := os.Open(db)
		if err != nil {
			return err
		}
		n, _ := f.ReadAt(head, 0)
		if err := f.Close(); err != nil {
			return err
		}
		if n == len(head) && head[18] != 2 && head[19] != 2 && !r.plan.settle {
			continue
		}
		out, err := exec.CommandContext(ctx, "sqlite3", "-batch", "-bail", "-cmd", ".timeout 5000", db,
			`PRAGMA journal_mode=DELETE; SELECT count(*) FROM sqlite_schema`).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "delete") {
			return fmt.Errorf("leave WAL mode of %s: %w: %s", db, err, out)
		}
		if fi, err := os.Stat(db); err == nil && fi.Size() == 0 {
			if err := os.Remove(db); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush uploads what there is, as a user would.
func (r *round) flush() {
	flushed := map[string]bool{}
	if r.plan.flushes {
		out, err := r.run(r.spec("flush"), 3*time.Minute)
		if err != nil && (!r.plan.spoolGoes || !noSpool(r.dir)) {
			r.diverge("flush: %v", err)
		}
		for line := range strings.Lines(out) {
			flushed[strings.TrimSpace(line)] = true
		}
	}
	dbs, err := r.databases()
	if err != nil {
		r.fail(err)
	}
	for _, db := range dbs {
		if flushed[boule.CanonicalPath(db)] {
			continue
		}
		s := r.spec("sync")
		s.File = db
		if _, err := r.run(s, 3*time.Minute); err != nil {
			r.diverge("sync %s: %v", db, err)
		}
	}
}

func noSpool(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "spool"))
	return err != nil
}

// judge sees whether all is as it has to be.
func (r *round) judge(ctx context.Context) error {
	k, err := readRecords(filepath.Join(r.dir, "records"))
	if err != nil {
		return err
	}
	for _, f := range k.failed {
		r.diverge("unexplained error of %s", f)
	}
	if err := r.restoreAll(ctx, k); err != nil {
		return err
	}
	j := &judge{
		k: k, scratch: filepath.Join(r.dir, "verify"), rep: r.rep,
		done: map[judged]error{}, sources: map[string][]replica.Source{}, takeovers: r.plan.mayFence(),
	}
	for name, dir := range r.stores() {
		if j.sources[name], err = source(dir); err != nil {
			return err
		}
	}
	r.h.mu.Lock()
	uploads, errs := r.h.uploads, r.h.errs
	r.rep.Missed += r.h.missed
	addAll(r.rep.Faults, r.h.faults)
	r.h.mu.Unlock()
	for _, err := range errs {
		r.diverge("%v", err)
	}
	for _, w := range j.all(ctx, uploads) {
		r.diverge("%s", w)
	}
	if err := r.judgeLogs(ctx, j); err != nil {
		return err
	}
	addAll(r.rep.Commits, k.commits)
	for what, n := range k.tolerated {
		if op, ok := strings.CutSuffix(strings.TrimPrefix(what, "surgeon-"), "-done"); ok {
			r.rep.Faults["database "+op+"d"] += n
		} else {
			r.rep.Tolerated[what] += n
		}
	}
	r.rep.Rolled += k.rollbacks
	r.rep.States += len(k.seen)
	r.rep.Reads += k.reads
	r.rep.Samples += len(k.samples)
	return nil
}

// stores are the directories with what is, or was, in each store.
func (r *round) stores() map[string]string {
	return map[string]string{"s3": filepath.Join(r.dir, "s3"), "file": filepath.Join(r.dir, "store")}
}

// judgeLogs judges the stores in the layout log.
func (r *round) judgeLogs(ctx context.Context, j *judge) error {
	words := unexpected
	if !r.plan.mayFence() {
		words = append(slices.Clone(words), copier.ErrFenced.Error())
	}
	heard, err := listen(filepath.Join(r.dir, "log"), words)
	if err != nil {
		return err
	}
	for _, line := range heard {
		r.diverge("%s", line)
	}
	for _, t := range r.targets {
		if t.Layout != target.LayoutLog {
			continue
		}
		name := "file"
		if t.S3 != nil {
			name = "s3"
		}
		s, err := logsIn(name, r.stores()[name])
		if err != nil {
			return err
		}
		if t.S3 != nil {
			if err := sameObjects(ctx, s, t); err != nil {
				r.diverge("%s: %v", t, err)
			}
		}
		for _, w := range j.logs(ctx, s) {
			r.diverge("%s", w)
		}
	}
	return nil
}

// restoreAll restores each database from each store and compares it with its source, whose state counts
// as seen from now on.
func (r *round) restoreAll(ctx context.Context, k *knowledge) error {
	dbs, err := r.databases()
	if err != nil {
		return err
	}
	for _, db := range dbs {
		r.rep.Databases++
		s, err := soundState(ctx, db)
		if err != nil {
			r.diverge("the source itself, %s: %v", db, err)
			continue
		}
		k.seen[s] = "read"
		for i, t := range r.targets {
			out := filepath.Join(r.dir, "verify", fmt.Sprintf("%d-%s", i, filepath.Base(db)))
			cfg := (spec{Dir: r.dir, Cache: r.cache, Targets: []target.Target{t}}).config(nil)
			_, err := boule.Restore(ctx, boule.SourceRef("", boule.CanonicalPath(db)), out, cfg, nil)
			if err == nil {
				err = sameFiles(db, out)
			}
			if err == nil {
				_, err = soundState(ctx, out)
			}
			if err != nil {
				r.diverge("restore of %s from %s after a flush: %v", filepath.Base(db), t, err)
				continue
			}
			r.rep.Restored++
			if err := os.Remove(out); err != nil {
				return err
			}
		}
	}
	return r.pairs(ctx)
}

// pairs compares what transactions over two databases left in both.
func (r *round) pairs(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(r.dir, "db", "a-moved.db")); err == nil || r.plan.wal || r.plan.moves {
		return nil // another file may have been the partner
	}
	var pair [2]string
	for i, name := range []string{"a.db", "b.db"} {
		out, err := exec.CommandContext(ctx, "sqlite3", "-readonly", filepath.Join(r.dir, "db", name), `SELECT pair FROM stamp`).CombinedOutput()
		if err != nil {
			return fmt.Errorf("pair of %s: %w: %s", name, err, out)
		}
		pair[i] = strings.TrimSpace(string(out))
	}
	if pair[0] != pair[1] {
		r.diverge("a transaction over two databases is in one of them only: a.db has %s, b.db %s", pair[0], pair[1])
	}
	return nil
}

// run1 is a whole round. The error is the runner's own; divergences are in the report.
func (r *round) run1(ctx context.Context, d time.Duration, show func(string)) (err error) {
	defer func() {
		err = errors.Join(err, r.tearDown())
		r.rep.Divergences = append(r.rep.Divergences, r.wrong...)
	}()
	show("trouble")
	if err := r.setUp(); err != nil {
		return err
	}
	r.torment(ctx, d)
	show("flush")
	r.calm()
	if err := r.settle(ctx); err != nil {
		return err
	}
	r.flush()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if r.s3 != nil {
		r.s3.puts.Wait()
	}
	show("verification")
	return errors.Join(append(r.broken, r.judge(ctx))...)
}
