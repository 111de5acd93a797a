package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/boule-db/boule/store"
)

// checkTimeout bounds one check.
const checkTimeout = 2 * time.Minute

// A check is one promise.
type check struct {
	name string
	run  func(ctx context.Context, p *probe) error
}

// checks are all promises, in the order in which they are checked.
func checks() []check {
	return slices.Concat(objectChecks(), rangeChecks(), conditionChecks(), raceChecks(), listChecks(), touchChecks(), keyChecks())
}

// Check checks every promise and returns the broken ones, each with its name.
// It works below keys that begin with "boule-check-" and deletes what it put.
func Check(ctx context.Context, s store.Store) error {
	var errs []error
	for _, c := range checks() {
		if err := c.do(ctx, s); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
		}
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	return errors.Join(errs...)
}

func (c check) do(ctx context.Context, s store.Store) (err error) {
	p := &probe{s: s, prefix: "boule-check-" + rand.Text()[:10] + "/"}
	timed, cancel := context.WithTimeout(ctx, checkTimeout)
	err = c.run(timed, p)
	cancel()
	// Also what a cancelled check has left.
	timed, cancel = context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	return errors.Join(err, p.clean(timed))
}

// Expect says what is known about an implementation.
type Expect struct {
	// Deviations has, by the name of a check that fails, what the
	// implementation does instead.
	Deviations map[string]string
	// Races has the same for checks that fail now and then, when a race in the
	// implementation is lost. They can't be held to it.
	Races map[string]string
	// Denied open stores with wrong credentials, by what is wrong with them.
	Denied map[string]func(testing.TB) store.Store
}

// Run checks every promise in a subtest of its own, on a store from New.
func Run(t *testing.T, New func(testing.TB) store.Store, expect Expect) {
	known := make(map[string]bool)
	for _, c := range checks() {
		known[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			expect.judge(t, c.name, c.do(t.Context(), New(t)))
		})
	}
	for what, open := range expect.Denied {
		name := "Denied/" + what
		known[name] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect.judge(t, name, denied(t.Context(), open(t)))
		})
	}
	for name := range merge(expect.Deviations, expect.Races) {
		if !known[name] {
			t.Errorf("a deviation is expected of the check %q, which does not exist", name)
		}
	}
}

func merge(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	if all == nil {
		all = make(map[string]string)
	}
	maps.Copy(all, b)
	return all
}

func (e Expect) judge(t *testing.T, name string, err error) {
	t.Helper()
	if note, ok := e.verdict(name, err); !ok {
		t.Error(note)
	} else if note != "" {
		t.Log(note)
	}
}

// verdict decides about the result of a check.
func (e Expect) verdict(name string, err error) (note string, ok bool) {
	why, expected := e.Deviations[name]
	if race, ok := e.Races[name]; ok && err != nil {
		why, expected = race, true
	}
	switch {
	case expected && err == nil:
		return "passes, but was expected to fail: " + why, false
	case expected:
		return fmt.Sprintf("deviates as expected (%s): %v", why, err), true
	case err != nil:
		return err.Error(), false
	}
	return "", true
}

// denied checks that every call of a store with wrong credentials says so.
func denied(ctx context.Context, s store.Store) error {
	var errs []error
	want := func(verb string, err error) {
		if !errors.Is(err, store.ErrAccess) || !store.IsPermanent(err) {
			errs = append(errs, fmt.Errorf("%s: got error %s, want a permanent %s", verb, says(err), says(store.ErrAccess)))
		}
	}
	_, err := s.Put(ctx, "boule-check-denied", []byte("x"), store.Condition{})
	want("put", err)
	_, err = s.Put(ctx, "boule-check-denied", []byte("x"), store.Condition{IfAbsent: true})
	want("conditional put", err)
	_, _, err = store.ReadAll(ctx, s, "boule-check-denied", 100)
	want("get", err)
	_, err = s.Head(ctx, "boule-check-denied")
	want("head", err)
	want("delete", s.Delete(ctx, "boule-check-denied"))
	_, err = s.Touch(ctx, "boule-check-denied")
	want("touch", err)
	_, err = collect(s.List(ctx, "boule-check-denied"), 0)
	want("list", err)
	return errors.Join(errs...)
}

// probe is a store during one check, with a part of it to itself.
type probe struct {
	s      store.Store
	prefix string

	mu   sync.Mutex // guards keys
	keys []string   // put so far
}

// key returns a key that no other check uses.
func (p *probe) key(name string) string { return p.prefix + name }

// put stores an object and remembers to delete it.
func (p *probe) put(ctx context.Context, key, body string, cond store.Condition) (store.Info, error) {
	p.mu.Lock()
	p.keys = append(p.keys, key)
	p.mu.Unlock()
	return p.s.Put(ctx, key, []byte(body), cond)
}

// must is put without a condition for objects that a check only needs to be there.
func (p *probe) must(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if _, err := p.put(ctx, key, "body of "+key, store.Condition{}); err != nil {
			return err
		}
	}
	return nil
}

// get returns the body, or the part of it that opts say.
func (p *probe) get(ctx context.Context, key string, opts *store.GetOptions) (string, store.Info, error) {
	obj, err := p.s.Get(ctx, key, opts)
	if err != nil {
		return "", store.Info{}, err
	}
	body, err := readAndClose(obj.Body)
	return body, obj.Info, err
}

// same checks that an object has a body.
func (p *probe) same(ctx context.Context, key, want string) error {
	got, info, err := p.get(ctx, key, nil)
	switch {
	case err != nil:
		return err
	case got != want:
		return fmt.Errorf("object %q is %s, want %s", key, show(got), show(want))
	case info.Size != int64(len(want)) || info.Key != key:
		return fmt.Errorf("get says %+v, want the key %q and the size %d", info, key, len(want))
	}
	return nil
}

// absent checks that there is no object.
func (p *probe) absent(ctx context.Context, key string) error {
	_, err := p.s.Head(ctx, key)
	if err := wantErr("head of an absent object", err, store.ErrNotExist); err != nil {
		return err
	}
	_, _, err = p.get(ctx, key, nil)
	return wantErr("get of an absent object", err, store.ErrNotExist)
}

// clean deletes everything that was put.
func (p *probe) clean(ctx context.Context) error {
	var errs []error
	slices.Sort(p.keys)
	for _, key := range slices.Compact(p.keys) {
		err := p.s.Delete(ctx, key)
		if err != nil && !errors.Is(err, store.ErrBadKey) {
			errs = append(errs, fmt.Errorf("clean up: %w", err))
		}
	}
	return errors.Join(errs...)
}

func wantErr(what string, got, want error) error {
	if !errors.Is(got, want) {
		return fmt.Errorf("%s: got error %s, want %s", what, says(got), says(want))
	}
	return nil
}

// says returns what an error says, or that there is none.
func says(err error) string { return fmt.Sprint(err) }

func show(body string) string {
	if len(body) > 40 {
		return fmt.Sprintf("%q... (%d bytes)", body[:40], len(body))
	}
	return fmt.Sprintf("%q", body)
}
