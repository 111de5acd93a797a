package main

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

// month is what providers count with, in hours.
const month = 730

// prices are in dollars.
type prices struct {
	Put float64 `json:"price_put"` // of 1000; lists cost as much
	Get float64 `json:"price_get"` // of 1000; heads cost as much
	GB  float64 `json:"price_gb"`  // of a month
}

func (p *prices) flags(f *pflag.FlagSet) {
	f.Float64Var(&p.Put, "price-put", 0.005, "dollars for 1000 puts or lists")
	f.Float64Var(&p.Get, "price-get", 0.0004, "dollars for 1000 gets or heads")
	f.Float64Var(&p.GB, "price-gb", 0.023, "dollars for a month of 10^9 bytes")
}

// notNegative refuses what is no price or number.
func notNegative(values ...float64) error {
	for _, v := range values {
		if !(v >= 0 && v < 1e12) {
			return usagef("prices and numbers must not be negative, nor beyond 10^12")
		}
	}
	return nil
}

// A monthly is what is asked of a store in a month, and what that and its content cost.
type monthly struct {
	Puts    float64 `json:"puts_per_month"` // with lists
	Gets    float64 `json:"gets_per_month"` // with heads
	Storage float64 `json:"storage_dollars"`
	Request float64 `json:"request_dollars"`
	Total   float64 `json:"dollars_per_month"`
}

// price completes a month in which so many bytes are stored.
func (p *prices) price(m monthly, bytes int64) monthly {
	m.Storage = float64(bytes) / 1e9 * p.GB
	m.Request = m.Puts/1000*p.Put + m.Gets/1000*p.Get
	m.Total = m.Storage + m.Request
	return m
}

// measured is a month like the time in which requests were counted, which is taken for an hour if it was less.
func measured(a *boule.Activity, now time.Time) (m monthly) {
	if a == nil {
		return m
	}
	factor := month / max(now.Sub(a.Since).Hours(), 1)
	m.Puts = float64(a.Requests.Put+a.Requests.List) * factor
	m.Gets = float64(a.Requests.Get+a.Requests.Head) * factor
	return m
}

// commits is a month of so many uploads an hour.
func commits(perHour float64, layout target.Layout) monthly {
	perCommit := 17.0 / 16 // the entry and now and then the copy of its header
	if layout == target.LayoutChunks {
		perCommit = 3 // two chunks and the manifest
	}
	return monthly{Puts: month * perHour * perCommit}
}

// stored says what a replica takes.
func stored(s *boule.Stored) string {
	dead := humanize.IBytes(uint64(max(s.Dead, 0))) + " dead"
	if s.Layout == target.LayoutChunks {
		dead = "dead unknown"
	}
	return fmt.Sprintf("%s, %s live, %s", counted(s.Objects, "object"), humanize.IBytes(uint64(s.Live)), dead)
}

// asked says what was asked of a store.
func asked(a *boule.Activity) string {
	r := a.Requests
	return fmt.Sprintf("%s, %s, %s, %s, %s, %s up, %s down%s",
		counted(int(r.Put), "put"), counted(int(r.Get), "get"), counted(int(r.Head), "head"), counted(int(r.List), "list"),
		counted(int(r.Delete), "delete"), humanize.IBytes(uint64(a.BytesUp)), humanize.IBytes(uint64(a.BytesDown)), when(" since ", a.Since))
}
