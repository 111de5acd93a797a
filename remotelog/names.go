package remotelog

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Names of objects. The name of a replica is that of its manifest (manifest.Name).

// EntryKey is the key, in the store for manifests, of an entry: log/NAME/NUMBER in 16 hex digits.
func EntryKey(name string, number uint64) string {
	return fmt.Sprintf("%s%016x", EntryPrefix(name), number)
}

// EntryPrefix is what the keys of the entries of a replica begin with.
func EntryPrefix(name string) string { return "log/" + name + "/" }

// ParseEntryKey is the reverse of EntryKey, for what is under EntryPrefix.
func ParseEntryKey(name, key string) (number uint64, ok bool) {
	s, ok := strings.CutPrefix(key, EntryPrefix(name))
	if !ok || len(s) != 16 {
		return 0, false
	}
	number, ok = parseHex(s)
	if !ok || number == 0 || number > MaxNumber {
		return 0, false
	}
	return number, true
}

// LatestKey is the key, in the store for manifests, of a copy of the header of a recent entry: latest/NAME.
func LatestKey(name string) string { return "latest/" + name }

// PrunedKey is the key, in the store for manifests, of the list of pruned entries: pruned/NAME. See [EncodePruned].
func PrunedKey(name string) string { return "pruned/" + name }

// GarbageKey is the key, in the store for manifests, of the list of objects that wait to be removed: garbage/NAME. See [EncodeGarbage].
func GarbageKey(name string) string { return "garbage/" + name }

// PackKey is the key, in the store for chunks, of a pack: packs/NAME/ENTRY-PART-NONCE in 16, 8 and 16 hex digits.
func PackKey(name string, id ObjectID) string { return PackPrefix(name) + id.String() }

// PackPrefix is what the keys of the packs of a replica begin with.
func PackPrefix(name string) string { return "packs/" + name + "/" }

// ParsePackKey is the reverse of PackKey, for what is under PackPrefix.
func ParsePackKey(name, key string) (id ObjectID, ok bool) {
	s, ok := strings.CutPrefix(key, PackPrefix(name))
	if !ok || len(s) != 16+1+8+1+16 || s[16] != '-' || s[25] != '-' {
		return ObjectID{}, false
	}
	entry, ok1 := parseHex(s[:16])
	part, ok2 := parseHex(s[17:25])
	nonce, ok3 := parseHex(s[26:])
	if !ok1 || !ok2 || !ok3 || entry == 0 || entry > MaxNumber || part == 0 || part > math.MaxUint32 {
		return ObjectID{}, false
	}
	return ObjectID{Entry: entry, Part: uint32(part), Nonce: nonce}, true
}

// parseHex parses lower-case hexadecimal digits, and only them.
func parseHex(s string) (uint64, bool) {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(s, 16, 64)
	return n, err == nil
}
