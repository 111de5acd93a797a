package remotelog_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/boule-db/boule/remotelog"
)

func TestKeys(t *testing.T) {
	id := remotelog.ObjectID{Entry: 0x12, Part: 0x34, Nonce: 0x0123456789abcdef}
	for got, want := range map[string]string{
		remotelog.EntryKey("n", 0xabc):  "log/n/0000000000000abc",
		remotelog.EntryPrefix("n"):      "log/n/",
		remotelog.LatestKey("n"):        "latest/n",
		remotelog.PackKey("n", id):      "packs/n/0000000000000012-00000034-0123456789abcdef",
		remotelog.PackPrefix("n"):       "packs/n/",
		id.String():                     "0000000000000012-00000034-0123456789abcdef",
		remotelog.EntryKey("a%2Fb", 16): "log/a%2Fb/0000000000000010",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestKeysRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Uint64Range(1, remotelog.MaxNumber).Draw(t, "number")
		if got, ok := remotelog.ParseEntryKey(name, remotelog.EntryKey(name, number)); got != number || !ok {
			t.Errorf("got %d, %v, want %d", got, ok, number)
		}
		id := remotelog.ObjectID{Entry: number, Part: rapid.Uint32Range(1, math.MaxUint32).Draw(t, "part"), Nonce: rapid.Uint64().Draw(t, "nonce")}
		if got, ok := remotelog.ParsePackKey(name, remotelog.PackKey(name, id)); got != id || !ok {
			t.Errorf("got %v, %v, want %v", got, ok, id)
		}
	})
}

func TestOtherKeys(t *testing.T) {
	for _, key := range []string{
		"", "log/n/", "log/n/1", "log/n/000000000000001", "log/n/00000000000000001", "log/n/000000000000000A", "log/n/+000000000000001",
		"log/n/0000000000000000", "log/n/0001000000000001", "log/n/ffffffffffffffff", "log/m/0000000000000001", "log/n/0000000000000001/",
		"latest/n", "log/0000000000000001",
	} {
		if n, ok := remotelog.ParseEntryKey("n", key); ok || n != 0 {
			t.Errorf("%q: got %d, %v", key, n, ok)
		}
	}
	for _, key := range []string{
		"", "packs/n/", "packs/n/0000000000000012-00000034-0123456789abcde", "packs/n/0000000000000012-00000034-0123456789abcdef0",
		"packs/n/0000000000000012-00000034-0123456789abcdeF", "packs/n/0000000000000000-00000034-0123456789abcdef",
		"packs/n/0000000000000012-00000000-0123456789abcdef", "packs/n/0000000000000012_00000034-0123456789abcdef",
		"packs/n/0000000000000012-00000034_0123456789abcdef", "packs/m/0000000000000012-00000034-0123456789abcdef",
		"packs/n/0001000000000001-00000034-0123456789abcdef", "packs/n/-000000000000012-00000034-0123456789abcdef",
	} {
		if id, ok := remotelog.ParsePackKey("n", key); ok || id != (remotelog.ObjectID{}) {
			t.Errorf("%q: got %v, %v", key, id, ok)
		}
	}
}
