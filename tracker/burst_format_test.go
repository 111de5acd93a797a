package tracker

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var goldenBursts = []burst{
	{base: []byte("base"), id: []byte("id"), tail: noTail},
	{base: []byte("base"), id: []byte("id"), tail: noTail, dirty: []int{0, 1, 2, 500, 70000}},
	{base: bytes.Repeat([]byte{1}, 52), id: bytes.Repeat([]byte{2}, 52), tail: 0},
	{base: bytes.Repeat([]byte{1}, 52), id: bytes.Repeat([]byte{2}, 52), tail: 300, dirty: []int{7, maxListed - 1}},
}

func TestGoldenRecords(t *testing.T) {
	f, err := os.Open("testdata/burst.golden")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for i, want := range goldenBursts {
		if !lines.Scan() {
			t.Fatalf("only %d examples", i)
		}
		if got := hex.EncodeToString(want.encode()); got != lines.Text() {
			t.Errorf("example %d is encoded as\n%s\nwant\n%s", i, got, lines.Text())
		}
		rec, err := hex.DecodeString(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseBurst(rec)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got, cmp.AllowUnexported(burst{})); diff != "" {
			t.Errorf("example %d (-want +got)\n%s", i, diff)
		}
	}
}

func TestMalformedRecords(t *testing.T) {
	good := goldenBursts[1].encode()
	for i := range good {
		if _, err := parseBurst(good[:i]); !errors.Is(err, errBurst) {
			t.Errorf("%d bytes: %v", i, err)
		}
	}
	if _, err := parseBurst(append(slices.Clone(good), 0)); !errors.Is(err, errBurst) {
		t.Errorf("one byte more: %v", err)
	}
	for name, b := range map[string]burst{
		"no base":       {id: []byte("id"), tail: noTail},
		"no id":         {base: []byte("base"), tail: noTail},
		"not in order":  {base: []byte("base"), id: []byte("id"), tail: noTail, dirty: []int{5, 5}},
		"chunk too far": {base: []byte("base"), id: []byte("id"), tail: noTail, dirty: []int{maxListed}},
	} {
		if _, err := parseBurst(b.encode()); !errors.Is(err, errBurst) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRecordsFit(t *testing.T) {
	b := burst{base: make([]byte, maxAttr+16), id: make([]byte, maxAttr+16), tail: maxListed}
	for i := range maxBurst {
		b.dirty = append(b.dirty, i*(maxListed/maxBurst))
	}
	if n := len(b.encode()); n > maxBurstRecord {
		t.Errorf("a record can have %d bytes, more than the %d that are read", n, maxBurstRecord)
	}
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.SliceOfN(rapid.Byte(), 1, 100)
		b := burst{base: id.Draw(t, "base"), id: id.Draw(t, "id"), tail: rapid.Int64Range(-1, 1<<40).Draw(t, "tail")}
		b.dirty = rapid.SliceOfNDistinct(rapid.IntRange(0, maxListed-1), 0, maxBurst, rapid.ID[int]).Draw(t, "dirty")
		slices.Sort(b.dirty)
		if len(b.dirty) == 0 {
			b.dirty = nil
		}
		got, err := parseBurst(b.encode())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&b, got, cmp.AllowUnexported(burst{})); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzParseBurst(f *testing.F) {
	for _, b := range goldenBursts {
		f.Add(b.encode())
	}
	f.Add([]byte(strings.Repeat("\x01", 40)))
	f.Fuzz(func(t *testing.T, rec []byte) {
		b, err := parseBurst(rec)
		if err != nil {
			return
		}
		again, err := parseBurst(b.encode())
		if err != nil {
			t.Fatalf("not parsed again: %v", err)
		}
		if diff := cmp.Diff(b, again, cmp.AllowUnexported(burst{})); diff != "" {
			t.Fatal(diff)
		}
	})
}
