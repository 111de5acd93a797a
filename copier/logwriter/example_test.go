package logwriter_test

import (
	"context"
	"fmt"
	"time"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/store/mem"
)

func Example() {
	ctx := context.Background()
	packs, entries := mem.New(), mem.New()
	name := manifest.Name("host", "/data/db")
	w := logwriter.New(packs, entries, name, logwriter.Options{Owner: owner(1)})
	data := make([]byte, 1<<20)
	for i := range 3 {
		data[i*200_000] = 1
		s := take(data, uint64(i+1))
		res, err := w.Append(ctx, s.m, s)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("entry", res.Entry, "objects", res.Objects)
	}
	if err := w.RefreshLatest(ctx); err != nil {
		fmt.Println(err)
	}

	report, err := logwriter.Prune(ctx, packs, entries, name, logwriter.Policy{Last: 1},
		logwriter.PruneOptions{Grace: time.Hour, Now: func() time.Time { return time.Now().Add(2 * time.Hour) }})
	fmt.Println("kept", len(report.Kept), "pruned", report.Pruned, err)
	// Output:
	// entry 1 objects 1
	// entry 2 objects 1
	// entry 3 objects 1
	// kept 1 pruned [1 2] <nil>
}
