package remotelog_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/remotelog"
)

func TestRoundTrip(t *testing.T) {
	e, stored := small()
	b, err := remotelog.EncodeEntry(e)
	check(t, err)
	t.Logf("%d bytes", len(b))
	got, length, need, err := remotelog.DecodeEntry(append(bytes.Clone(b), "frames"...))
	check(t, err)
	if length != len(b) || need != 0 {
		t.Errorf("got a header of %d bytes, %d are needed, want %d", length, need, len(b))
	}
	if diff := cmp.Diff(e, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	raw := remotelog.AppendIndex(nil, stored)
	f := remotelog.AppendFrame(nil, remotelog.KindIndex, raw)
	t.Logf("%d chunks, index of %d bytes, frame %d, per chunk %.2f", len(stored), len(raw), len(f), float64(len(f))/float64(len(stored)))
	raw, err = remotelog.DecodeFrame(f, remotelog.KindIndex)
	check(t, err)
	chunks, err := remotelog.DecodeIndex(raw)
	check(t, err)
	if diff := cmp.Diff(stored, chunks); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, err = got.Block(0, chunks)
	check(t, err)
}
