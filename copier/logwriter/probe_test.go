package logwriter_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
	"github.com/boule-db/boule/store/retry"
)

// careful is a store that notes unconditional puts of entries.
type careful struct {
	store.Store
	t *testing.T
}

func (c careful) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	if strings.HasPrefix(key, remotelog.EntryPrefix(testName)) && !cond.IfAbsent {
		c.t.Errorf("%s is put without a condition", key)
	}
	return c.Store.Put(ctx, key, body, cond)
}

// TestProbeLost lets the outcome of the puts that find out whether the store heeds conditions be unknown, so that the
// store is asked what is there. That is the copy of the newest entry, as it was.
func TestProbeLost(t *testing.T) {
	for _, absent := range []bool{false, true} {
		under := mem.New()
		unknown := storefault.Fault{Fail: true, Err: store.ErrUnknownOutcome}
		faults := storefault.New(careful{under, t}, nil)
		s := retry.New(faults, &retry.Options{Waits: []time.Duration{0}})
		data := random(300_000, 1)
		var log bytes.Buffer
		for i := range 3 {
			w := logwriter.New(s, s, testName, logwriter.Options{Owner: owner(1), Logger: slog.New(slog.NewTextHandler(&log, nil))})
			data[i*1000]++
			if absent {
				check(t, under.Delete(t.Context(), remotelog.LatestKey(testName)))
			}
			puts := 0
			faults.SetPlan(func(c storefault.Call) storefault.Fault {
				if c.Verb == store.VerbPut && c.Key == remotelog.LatestKey(testName) {
					if puts++; i > 0 && (!absent || puts != 2) {
						return unknown
					}
				}
				return storefault.Fault{}
			})
			sn := takeSnap(data, uint64(i+1))
			_, err := w.Append(t.Context(), sn.m, sn)
			check(t, err)
			if i > 0 && puts == 0 {
				t.Error("the store was not probed")
			}
		}
		if logged := log.String(); strings.Contains(logged, "conditional") || !absent && logged != "" { // or that the copy is gone
			t.Errorf("logged: %s", logged)
		}
		sound(t, under)
	}
}
