package copier

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/target"
)

// examine fetches and verifies the newest state of a replica. If something is wrong, a full snapshot is demanded. That there is no replica is nothing to repair.
func (p *pass) examine(ctx context.Context, name string, found func(error)) error {
	cl, err := p.stores(ctx)
	if err != nil {
		return err
	}
	what := ""
	if p.layout == target.LayoutLog {
		what, err = p.examineLog(ctx, cl, name, found)
	} else {
		what, err = p.examineChunks(ctx, cl, name, found)
	}
	switch {
	case err != nil:
		return &remoteError{fmt.Errorf("examine the replica: %w", err)}
	case what == "":
		return nil
	}
	return p.lost(name, fmt.Errorf("%s of %s in %s can't be relied on, and have to be uploaded again", what, name, cl.Manifests))
}

func (p *pass) examineLog(ctx context.Context, cl *client, name string, found func(error)) (string, error) {
	open := func() *logrep.Log {
		return logrep.New(newMeter(p.c, p.e, cl.Chunks), newMeter(p.c, p.e, cl.Manifests), name)
	}
	first := open()
	var doubts []error
	head, err := first.Head(ctx, nil)
	switch {
	case errors.Is(err, remotelog.ErrCorrupt):
		doubts = []error{err}
		head, err = first.SoundHead(ctx)
	case err == nil:
		doubts, err = first.Doubts(ctx, head)
	case store.IsNotExist(err):
		return "", nil // and so nothing is damaged
	}
	for _, d := range doubts {
		found(d)
	}
	if err != nil {
		return "", err
	}
	// Another one, which does not know the header of the newest entry by its copy.
	d, err := open().Examine(ctx, head.Entry, func(f *logrep.Fault) {
		if !slices.ContainsFunc(doubts, func(d error) bool { return d.Error() == f.Error() }) {
			found(f)
		}
	})
	if err != nil {
		return "", err
	}
	if d.Entry = d.Entry || len(doubts) > 0; d.Empty() {
		return "", nil
	}
	p.e.damage[name] = d
	if d.Entry {
		return "the newest entry, or its copy,", nil
	}
	return fmt.Sprintf("%d index blocks and %d chunks", len(d.Blocks)+len(d.Index), len(d.Chunks)), nil
}

func (p *pass) examineChunks(ctx context.Context, cl *client, name string, found func(error)) (string, error) {
	src := replica.Source{Name: cl.Manifests.String(), Chunks: newMeter(p.c, p.e, cl.Chunks), Manifests: newMeter(p.c, p.e, cl.Manifests)}
	m, _, _, err := replica.FetchManifest(ctx, []replica.Source{src}, name)
	faults := 0
	fault := func(_ string, err error) {
		faults++
		found(err)
	}
	switch {
	case store.IsNotExist(err), errors.Is(err, replica.ErrNotFound):
		return "", nil
	case errors.Is(err, manifest.ErrCorrupt):
		fault(name, err)
	case err != nil:
		return "", err
	default:
		if _, err = replica.Check(ctx, m, src, &replica.CheckOptions{Percent: 100}, fault); err != nil {
			return "", err
		}
	}
	if faults == 0 {
		return "", nil
	}
	return fmt.Sprintf("%d objects", faults), nil
}
