//go:build linux || darwin || freebsd

package model

import (
	"context"
	"flag"

	"golang.org/x/sys/unix"

	"github.com/boule-db/boule/doctor"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store"
)

// effects tells whether a mistake has consequences, and how soon.
var effects = flag.Bool("effects", false, "judge what there is only, not how it came about")

// A watcher judges what there is after each operation that can have changed something, and how
// it came about.
type watcher struct {
	w     *world
	rec   doctor.Recorder
	obs   *doctor.Observer
	cache *doctor.Cache
}

// reset begins anew: nothing of what was seen is there any more.
func (x *watcher) reset() {
	x.obs = doctor.NewObserver(&doctor.Options{
		EachOperation: true,
		MayGoBack:     true, // the bucket knows better when
	})
	x.cache = doctor.NewCache()
	x.rec.Take()
}

// look evaluates all invariants.
func (x *watcher) look() { x.judge(x.obs.Step) }

// rest is look when there is nothing more to do.
func (x *watcher) rest() { x.judge(x.obs.Rest) }

func (x *watcher) judge(f func(*doctor.State, ...doctor.Event) []doctor.Violation) {
	x.w.count.checks++
	tree := &doctor.Tree{Boot: x.w.bootDir()}
	if base, err := x.w.openDisk(prefix); err == nil {
		tree = doctor.Look(base, x.w.bootDir(), x.cache)
		base.Close()
	}
	for _, err := range tree.Errs {
		x.w.bad("I1", "%v", err)
	}
	events := x.rec.Take()
	if *effects {
		events = nil
	}
	found := f(&doctor.State{
		Tree: tree, Stores: x.rec.Stores(), Databases: map[string]*doctor.Database{x.w.path: x.w.db.described()},
	}, events...)
	for _, v := range found {
		if v.Invariant == "I23" && (x.w.plan.coalesce || x.w.plan.deferred) {
			continue // bursts and deferred snapshots have proofs of their own, of which the doctor does not know; I19 judges what comes of it
		}
		x.w.bad(v.Invariant, "%s: %s", short(v.Path), v.Detail)
	}
}

// alters says whether an operation of files can change what an invariant is about.
func alters(s *stop) bool {
	if s.class == private {
		return false
	}
	switch s.op {
	case fsx.OpReadFile, fsx.OpOpen, fsx.OpReadAt, fsx.OpStat, fsx.OpReadDir, fsx.OpSub, fsx.OpClose, fsx.OpLock:
		return false
	}
	return s.class != head
}

func (w *world) bootDir() string { return "boule-" + w.bootID().String() + "-v2" }

func (w *world) key(target string) spool.Key {
	return spool.KeyOf(spool.DB{Path: w.path, Dev: w.db.dev, Ino: w.db.ino}, target)
}

// sequence returns that of the staged manifest, zero if there is none.
func (w *world) sequence(target string) uint64 {
	data, err := w.disk.ReadFile("spool/" + w.bootDir() + "/" + w.key(target).String() + "/staging/meta/" + w.name)
	if err != nil {
		return 0
	}
	m, err := manifest.Decode(data)
	if err != nil {
		return 0
	}
	return m.Sequence
}

// described is what is known of the database.
func (d *db) described() *doctor.Database {
	db := &doctor.Database{Size: d.peak, States: d.states}
	if !d.journal {
		db.Size, db.ID, db.Sums = int64(len(d.data)), d.id(), d.sums
	}
	return db
}

// id returns the version id, as a tracker would make it.
func (d *db) id() []byte {
	buf := make([]byte, 128)
	n, err := unix.Fgetxattr(int(d.file.Fd()), "user.boule.version_id", buf)
	if err != nil || n == 0 {
		return nil
	}
	sum := manifest.HeaderSum(d.data)
	return appendSum(buf[:n], sum)
}

// put tells the doctor what a store got. What is late is nobody's any more.
func (x *watcher) put(r *request, late bool) {
	actor := r.p.actor(doctor.Consumer, r.b.id)
	if late {
		actor = doctor.Actor{Role: doctor.Other}
	}
	var s store.Store
	if r.manifest() {
		s = x.rec.Manifests(actor, r.b.id, sink{})
	} else {
		s = x.rec.Chunks(actor, r.b.id, sink{})
	}
	_, _ = s.Put(context.Background(), r.key[2:], r.body, store.Condition{})
}

// A sink takes everything.
type sink struct{ store.Store }

func (sink) Put(context.Context, string, []byte, store.Condition) (store.Info, error) {
	return store.Info{}, nil
}
