package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/boule-db/boule/store"
)

// stale is an ETag that no object has, of a form that services know.
const stale = "00000000000000000000000000000000"

func conditionChecks() []check {
	refused := func(ctx context.Context, p *probe, key string, cond store.Condition) error {
		_, err := p.put(ctx, key, "other", cond)
		if !store.IsPermanent(err) {
			return fmt.Errorf("put %+v: this error is not permanent: %s", cond, says(err))
		}
		return wantErr(fmt.Sprintf("put %+v", cond), err, store.ErrPrecondition)
	}
	return []check{
		{"IfAbsentCreates", func(ctx context.Context, p *probe) error {
			key := p.key("object")
			if _, err := p.put(ctx, key, "first", store.Condition{IfAbsent: true}); err != nil {
				return err
			}
			return p.same(ctx, key, "first")
		}},
		{"IfAbsentRefuses", func(ctx context.Context, p *probe) error {
			key := p.key("object")
			if _, err := p.put(ctx, key, "first", store.Condition{}); err != nil {
				return err
			}
			return errors.Join(refused(ctx, p, key, store.Condition{IfAbsent: true}), p.same(ctx, key, "first"))
		}},
		{"IfAbsentAfterDelete", func(ctx context.Context, p *probe) error {
			key := p.key("object")
			if err := p.must(ctx, key); err != nil {
				return err
			}
			if err := p.s.Delete(ctx, key); err != nil {
				return err
			}
			if _, err := p.put(ctx, key, "again", store.Condition{IfAbsent: true}); err != nil {
				return err
			}
			return p.same(ctx, key, "again")
		}},
		{"IfMatchCurrent", func(ctx context.Context, p *probe) error {
			key := p.key("object")
			info, err := p.put(ctx, key, "0", store.Condition{})
			for i := 1; i < 4 && err == nil; i++ {
				info, err = p.put(ctx, key, strconv.Itoa(i), store.Condition{IfMatch: info.ETag})
			}
			return errors.Join(err, p.same(ctx, key, "3"))
		}},
		{"IfMatchOfHead", func(ctx context.Context, p *probe) error {
			key := p.key("object")
			if err := p.must(ctx, key); err != nil {
				return err
			}
			info, err := p.s.Head(ctx, key)
			if err != nil {
				return err
			}
			if _, err := p.put(ctx, key, "next", store.Condition{IfMatch: info.ETag}); err != nil {
				return err
			}
			return p.same(ctx, key, "next")
		}},
		{"IfMatchStale", func(ctx context.Context, p *probe) error {
			key := p.key("object")
			old, err := p.put(ctx, key, "first", store.Condition{})
			if err != nil {
				return err
			}
			if _, err := p.put(ctx, key, "second", store.Condition{}); err != nil {
				return err
			}
			return errors.Join(
				refused(ctx, p, key, store.Condition{IfMatch: old.ETag}),
				refused(ctx, p, key, store.Condition{IfMatch: stale}),
				p.same(ctx, key, "second"))
		}},
		{"IfMatchAbsent", func(ctx context.Context, p *probe) error {
			key := p.key("nothing")
			return errors.Join(refused(ctx, p, key, store.Condition{IfMatch: stale}), p.absent(ctx, key))
		}},
		{"BothConditions", func(ctx context.Context, p *probe) error {
			_, err := p.put(ctx, p.key("object"), "x", store.Condition{IfAbsent: true, IfMatch: stale})
			return errors.Join(wantErr("put", err, store.ErrBadCondition), p.absent(ctx, p.key("object")))
		}},
		{"GetIfNoneMatch", func(ctx context.Context, p *probe) error {
			key := p.key("object")
			old, err := p.put(ctx, key, "first", store.Condition{})
			if err != nil {
				return err
			}
			opts := &store.GetOptions{IfNoneMatch: old.ETag}
			_, _, err = p.get(ctx, key, opts)
			if err := wantErr("get of what one has", err, store.ErrNotModified); err != nil {
				return err
			}
			if _, err := p.put(ctx, key, "second", store.Condition{}); err != nil {
				return err
			}
			got, _, err := p.get(ctx, key, opts)
			if err == nil && got != "second" {
				err = fmt.Errorf("got %q, want %q", got, "second")
			}
			return err
		}},
	}
}

const (
	racers = 16
	rounds = 20
)

// race lets n callers go at once and waits for them.
func race(n int, run func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			run(i)
		})
	}
	close(start)
	wg.Wait()
}

// oneWinner lets callers race for a put under one condition. The object must
// be the winner's; losers must have been told so, or that it is not known.
func oneWinner(ctx context.Context, p *probe, key string, cond store.Condition) error {
	infos, errs := make([]store.Info, racers), make([]error, racers)
	race(racers, func(i int) {
		infos[i], errs[i] = p.put(ctx, key, "writer "+strconv.Itoa(i), cond)
	})
	var winners []int
	for i, err := range errs {
		switch {
		case err == nil:
			winners = append(winners, i)
		case !errors.Is(err, store.ErrPrecondition) && !errors.Is(err, store.ErrUnknownOutcome):
			return fmt.Errorf("loser: %w", err)
		}
	}
	got, info, err := p.get(ctx, key, nil)
	if err != nil {
		return err
	}
	if len(winners) != 1 {
		return fmt.Errorf("%d winners %v, want one; the object is %q", len(winners), winners, got)
	}
	w := winners[0]
	if got != "writer "+strconv.Itoa(w) || info.ETag != infos[w].ETag {
		return fmt.Errorf("writer %d won, with the ETag %q, but the object is %q with %q", w, infos[w].ETag, got, info.ETag)
	}
	return nil
}

func raceChecks() []check {
	return []check{
		{"RaceIfAbsent", func(ctx context.Context, p *probe) error {
			for i := range rounds {
				if err := oneWinner(ctx, p, p.key("object"+strconv.Itoa(i)), store.Condition{IfAbsent: true}); err != nil {
					return fmt.Errorf("round %d: %w", i, err)
				}
			}
			return nil
		}},
		{"RaceIfMatch", func(ctx context.Context, p *probe) error {
			key := p.key("object")
			for i := range rounds {
				info, err := p.put(ctx, key, "before round "+strconv.Itoa(i), store.Condition{})
				if err != nil {
					return err
				}
				if err := oneWinner(ctx, p, key, store.Condition{IfMatch: info.ETag}); err != nil {
					return fmt.Errorf("round %d: %w", i, err)
				}
			}
			return nil
		}},
		{"RaceIfMatchAgainstPut", raceAgainstPut},
		{"ReadersSeeWholeObjects", wholeObjects},
	}
}

// raceAgainstPut lets a compare-and-swap race with a plain put: whichever came
// first, the plain put's bytes stay, unless the swap came first and was told so.
func raceAgainstPut(ctx context.Context, p *probe) error {
	for i := range rounds {
		key := p.key("object" + strconv.Itoa(i))
		info, err := p.put(ctx, key, "old", store.Condition{})
		if err != nil {
			return err
		}
		var putErr, swapErr error
		race(2, func(i int) {
			if i == 0 {
				_, putErr = p.put(ctx, key, "plain", store.Condition{})
			} else {
				_, swapErr = p.put(ctx, key, "swap", store.Condition{IfMatch: info.ETag})
			}
		})
		if putErr != nil {
			return putErr
		}
		if swapErr != nil && !errors.Is(swapErr, store.ErrPrecondition) && !errors.Is(swapErr, store.ErrUnknownOutcome) {
			return swapErr
		}
		// The plain put always takes effect, and nothing that matched the old
		// object may come after it.
		if err := p.same(ctx, key, "plain"); err != nil {
			return fmt.Errorf("round %d, the swap succeeded = %v: %w", i, swapErr == nil, err)
		}
	}
	return nil
}

// wholeObjects lets readers look at an object that two writers overwrite.
func wholeObjects(ctx context.Context, p *probe) error {
	key := p.key("object")
	bodies := []string{noise(2, 200_000), noise(3, 120_000)}
	if _, err := p.put(ctx, key, bodies[0], store.Condition{}); err != nil {
		return err
	}
	errs := make([]error, 6)
	race(len(errs), func(i int) {
		for n := range 15 {
			if i < 2 {
				_, errs[i] = p.put(ctx, key, bodies[(i+n)%2], store.Condition{})
			} else {
				var got string
				got, _, errs[i] = p.get(ctx, key, nil)
				if errs[i] == nil && got != bodies[0] && got != bodies[1] {
					errs[i] = fmt.Errorf("a reader got %s, which nobody put", show(got))
				}
			}
			if errs[i] != nil {
				return
			}
		}
	})
	return errors.Join(errs...)
}
