package copier_test

import (
	"errors"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/spool"
)

// What processes ask of a target adds up, and why the last pass failed is told at once, and until one does not.
func TestReport(t *testing.T) {
	for _, layout := range layouts {
		t.Run(layout.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				root := newRoot(t, nil)
				b := newBucket()
				s := storefault.New(b, nil)
				d := newDatabase(t, root, "/data/a.db", layout.target, 5)
				if _, err := copier.ReadReport(root, d.key); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("before: got %v", err)
				}
				var sum copier.Requests
				var up int64
				since := time.Now()
				for i := range 3 {
					c := copier.New(&copier.Options{Open: opens(s), Rescan: -1})
					c.Add(root, d.key)
					for range 3 {
						d.commit(1)
						c.Notify(d.key)
						time.Sleep(time.Second)
					}
					if i == 1 { // while nobody writes, nothing is told anew
						time.Sleep(10 * time.Second) // what comes then is tried at once
						s.SetPlan(storefault.Always(storefault.Fault{Fail: true}))
						d.commit(1)
						c.Notify(d.key)
						time.Sleep(time.Second)
						r := report(t, root, d)
						if r.Error == "" || r.ErrorSince.IsZero() || time.Since(r.ErrorSince) > time.Second {
							t.Errorf("while it fails: got %+v", r)
						}
						time.Sleep(time.Hour)
						if later := report(t, root, d); !later.ErrorSince.Equal(r.ErrorSince) || later.Requests == r.Requests {
							t.Errorf("an hour later: got %+v, before %+v", later, r)
						}
						s.SetPlan(nil)
						time.Sleep(time.Hour)
						if r := report(t, root, d); r.Error != "" || !r.ErrorSince.IsZero() || r.LastSuccess.IsZero() {
							t.Errorf("when it works again: got %+v", r)
						}
					}
					if err := c.Close(t.Context()); err != nil {
						t.Fatal(err)
					}
					m := c.Metrics()
					sum.Put, sum.Get, sum.Head = sum.Put+m.Requests.Put, sum.Get+m.Requests.Get, sum.Head+m.Requests.Head
					sum.List, sum.Delete, up = sum.List+m.Requests.List, sum.Delete+m.Requests.Delete, up+m.BytesUp
				}
				if r := report(t, root, d); r.Requests != sum || r.BytesUp != up || up == 0 || r.Since.Before(since) || time.Since(r.Since) < time.Hour {
					t.Errorf("got %+v, want %+v and %d bytes since %v", r, sum, up, since)
				}
			})
		})
	}
}

// A database that is closed before the time to write the report has come is counted nevertheless.
func TestReportOfShortUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		d := newDatabase(t, root, "/data/a.db", logTarget, 5)
		c := newCopier(t, &copier.Options{Open: opens(newBucket()), Rescan: -1})
		for range 5 {
			c.Add(root, d.key)
			for range 2 {
				d.commit(1)
				c.Notify(d.key)
				time.Sleep(time.Second)
			}
			c.Remove(d.key)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute) // it is forgotten only when its next upload would be allowed
		if r, want := report(t, root, d), c.Metrics().Requests; r.Requests != want {
			t.Errorf("got %+v, want %+v", r.Requests, want)
		}
	})
}

func report(t *testing.T, root *spool.Root, d *database) *copier.Report {
	t.Helper()
	r, err := copier.ReadReport(root, d.key)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
