package logwriter_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// What users pay for is requests and bytes. These workloads are simulated: a database of 94 MB in pages of 4096 bytes
// that do not compress, and a minute with an append every two seconds, each with its copy, as the copier makes them of commits that go on and on.

const bigDatabase = 94_000_000 / pageSize * pageSize

// A load is a database that changes.
type load struct {
	rnd   *rand.Rand
	data  []byte
	words []string
	rows  []byte // of the page that is being filled
	table int    // its number
}

func newLoad(size int) *load {
	l := &load{rnd: rand.New(rand.NewPCG(1, 2)), data: random(size, 1)}
	for range 1000 {
		w := make([]byte, 3+l.rnd.IntN(9))
		for i := range w {
			w[i] = "etaoinshrdlucmfwypvbgkjqxz"[min(l.rnd.IntN(26), l.rnd.IntN(26))]
		}
		l.words = append(l.words, string(w))
	}
	clear(l.data[:pageSize])
	copy(l.data, "SQLite format 3\x00")
	copy(l.data[3000:], "CREATE TABLE events(id INTEGER PRIMARY KEY, at TEXT, who TEXT, what TEXT, how TEXT, payload TEXT)")
	l.table = size / pageSize
	return l
}

func (l *load) page(i int) []byte { return l.data[i*pageSize : (i+1)*pageSize] }

// commit changes page 1 as every transaction does.
func (l *load) commit() {
	for _, at := range []int{24, 92} {
		b := l.data[at:]
		binary.BigEndian.PutUint32(b, binary.BigEndian.Uint32(b)+1)
	}
}

// text returns n bytes of words.
func (l *load) text(n int) []byte {
	var b strings.Builder
	for b.Len() < n {
		i := l.rnd.IntN(len(l.words))
		b.WriteString(l.words[min(i, l.rnd.IntN(len(l.words)), l.rnd.IntN(len(l.words)))])
		b.WriteByte(' ')
	}
	return []byte(b.String()[:n])
}

// insert appends a row to the table.
func (l *load) insert(n int) {
	if l.rows == nil || len(l.rows)+n > pageSize-16 {
		l.rows = make([]byte, 16, pageSize)
		l.table = len(l.data) / pageSize
		l.data = append(l.data, make([]byte, pageSize)...)
	}
	l.rows = append(l.rows, l.text(n)...)
	copy(l.page(l.table), l.rows)
}

// interior changes an interior page: one more pointer to a page.
func (l *load) interior(i int) {
	p := l.page(i)
	if p[0] != 5 {
		clear(p)
		p[0] = 5
	}
	n := int(binary.BigEndian.Uint16(p[3:]))
	if n >= 400 {
		n = 0
	}
	binary.BigEndian.PutUint32(p[12+9*n:], uint32(l.table))
	binary.BigEndian.PutUint32(p[16+9*n:], uint32(8*l.table))
	binary.BigEndian.PutUint16(p[3:], uint16(n+1))
}

// minute appends the load once and then changes it 60 times, or with -short 10 times, once a second, and returns what that cost.
func minute(t *testing.T, l *load, change func(second int)) (requests int, sent int64) {
	t.Helper()
	c := clock{now: time.Now()}
	r := newRig(t, logwriter.Options{Now: c.Now})
	r.send(l.data)
	r.s.reset()
	var res logwriter.Result
	least, before := 0, bytes.Clone(l.data)
	seconds := 60
	if testing.Short() {
		seconds = 10
	}
	for second := range seconds {
		change(second)
		c.set(c.Now().Add(time.Second))
		if second%2 == 0 && second < seconds-1 {
			continue
		}
		res = r.send(l.data)
		check(t, r.w.RefreshLatest(t.Context()))
		var pages []byte
		before = append(before, make([]byte, len(l.data)-len(before))...)
		for i := range len(l.data) / pageSize {
			if !bytes.Equal(before[i*pageSize:][:pageSize], l.page(i)) {
				pages = append(pages, l.page(i)...)
				copy(before[i*pageSize:], l.page(i))
			}
		}
		least += len(manifest.Compress(pages))
	}
	if !bytes.Equal(restore(t, r.s.Store, res.Entry), l.data) {
		t.Error("the last entry restores to something else")
	}
	t.Logf("%d requests (%v), %.2f MB; the pages alone, compressed, are %.2f MB",
		r.s.requests(), r.s.verbs, float64(r.s.bytes)/1e6, float64(least)/1e6)
	return r.s.requests(), r.s.bytes
}

func atMost(t *testing.T, requests, most int, sent int64, megabytes float64) {
	t.Helper()
	if requests > most {
		t.Errorf("%d requests, want %d at most", requests, most)
	}
	if float64(sent) > megabytes*1e6 {
		t.Errorf("%d bytes, want %.2f MB at most", sent, megabytes)
	}
}

func TestBudgetAppend(t *testing.T) {
	l := newLoad(bigDatabase)
	requests, sent := minute(t, l, func(int) {
		l.commit()
		for range 100 {
			l.insert(500)
		}
		for _, i := range []int{3, 9000, 20_000} {
			l.interior(i)
		}
	})
	atMost(t, requests, 66, sent, 1.2)
}

func TestBudgetUpdate(t *testing.T) {
	l := newLoad(bigDatabase)
	pages := len(l.data) / pageSize
	requests, sent := minute(t, l, func(second int) {
		l.commit()
		for k := range 100 {
			copy(l.page(1+l.rnd.IntN(pages-1)), random(pageSize, uint64(1000*second+k)))
		}
	})
	atMost(t, requests, 75, sent, 30)
}

func TestBudgetSmall(t *testing.T) {
	l := newLoad(bigDatabase)
	requests, sent := minute(t, l, func(second int) {
		l.commit()
		l.insert(500)
		if second%3 == 0 {
			l.interior(3)
		}
	})
	atMost(t, requests, 66, sent, 0.25)
}

// TestBudgetRandomRow changes a row anywhere once a second, in pages of text.
func TestBudgetRandomRow(t *testing.T) {
	l := newLoad(bigDatabase)
	pages := len(l.data) / pageSize
	for i := 1; i < pages; i++ {
		copy(l.page(i), l.text(pageSize))
	}
	requests, sent := minute(t, l, func(int) {
		l.commit()
		copy(l.page(1 + l.rnd.IntN(pages-1))[1000:], l.text(500))
	})
	atMost(t, requests, 66, sent, 0.17)
}

func TestBudgetFirst(t *testing.T) {
	l := newLoad(bigDatabase)
	r := newRig(t, logwriter.Options{})
	r.append(l.data)
	t.Logf("%d requests (%v), %.4f of the size", r.s.requests(), r.s.verbs, float64(r.s.bytes)/float64(len(l.data)))
	atMost(t, r.s.requests(), 14, r.s.bytes, 1.02*float64(len(l.data))/1e6)
	r.s.reset()
	s := take(l.data, r.n)
	if _, err := r.w.Append(t.Context(), s.m, s); err != nil || r.s.requests() != 0 {
		t.Errorf("unchanged: %v, %d requests", err, r.s.requests())
	}
}

// huge is a snapshot whose chunks are made when they are needed.
type huge struct {
	*snap
	n    int
	body func(i int) []byte
}

func newHuge(n int, body func(i int) []byte, sequence uint64) *huge {
	h := &huge{snap: take(body(0), sequence), n: n, body: body}
	h.m.Size = int64(n) * manifest.ChunkSize
	for i := 1; i < n; i++ {
		sum := manifest.Sum(body(i))
		h.m.Chunks = append(h.m.Chunks, sum)
		h.at[sum] = i
	}
	return h
}

func (h *huge) Chunk(_ context.Context, f manifest.Fingerprint) ([]byte, error) {
	return h.body(h.at[f]), nil
}

// swallow is a store that keeps no pack.
type swallow struct{ store.Store }

func (s swallow) Put(ctx context.Context, key string, body []byte, c store.Condition) (store.Info, error) {
	if strings.HasPrefix(key, remotelog.PackPrefix(testName)) {
		return store.Info{Key: key, Size: int64(len(body))}, nil
	}
	return s.Store.Put(ctx, key, body, c)
}

const gigabyte = 1 << 30 / manifest.ChunkSize // in chunks

func TestBudgetFirstGigabyte(t *testing.T) {
	r := newRig(t, logwriter.Options{})
	r.s.Store = swallow{r.s.Store}
	h := newHuge(gigabyte, func(i int) []byte { return random(manifest.ChunkSize, uint64(i)) }, 1)
	if _, err := r.w.Append(t.Context(), h.m, h); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d requests (%v), %.4f of the size", r.s.requests(), r.s.verbs, float64(r.s.bytes)/(1<<30))
	atMost(t, r.s.requests(), 108, r.s.bytes, 1.02*(1<<30)/1e6)
}

func TestBudgetRestart(t *testing.T) {
	r := newRig(t, logwriter.Options{})
	// What compresses well has the same index as what does not.
	body := func(i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%08d", i), manifest.ChunkSize/8) }
	h := newHuge(gigabyte, body, 1)
	if _, err := r.w.Append(t.Context(), h.m, h); err != nil {
		t.Fatal(err)
	}
	r.restart()
	r.s.reset()
	changed := random(manifest.ChunkSize, 1)
	h = newHuge(gigabyte, func(i int) []byte {
		if i == 9000 {
			return changed
		}
		return body(i)
	}, 2)
	res, err := r.w.Append(t.Context(), h.m, h)
	check(t, err)
	check(t, r.w.RefreshLatest(t.Context()))
	t.Logf("%d requests (%v), %d bytes", r.s.requests(), r.s.verbs, r.s.bytes)
	atMost(t, r.s.requests(), 10, r.s.bytes, 1)
	got := newReading(t, r.s.Store, res.Entry)
	for _, i := range []int{0, 1, 4096, 8999, 9000, 9001, gigabyte - 1} {
		if !bytes.Equal(got.chunk(i), h.body(i)) {
			t.Errorf("chunk %d restores to something else", i)
		}
	}
}
