package tracker

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"

	"github.com/boule-db/boule/manifest"
)

// attrName is the extended attribute that holds the random part of a version id.
const attrName = "user.boule.version_id"

// maxAttr bounds what is read of the attribute.
const maxAttr = 128

// errNoAttr says that the filesystem has no extended attributes.
var errNoAttr = errors.New("tracker: filesystem has no extended attributes")

// newUUID returns a random UUID in text form.
func newUUID() []byte {
	var u [16]byte
	_, _ = rand.Read(u[:]) // never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	text := make([]byte, 36)
	hex.Encode(text, u[:4])
	hex.Encode(text[9:], u[4:6])
	hex.Encode(text[14:], u[6:8])
	hex.Encode(text[19:], u[8:10])
	hex.Encode(text[24:], u[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return text
}

// versionID returns the id of a database: its attribute, where there are attributes, and the
// fingerprint of its header. It is empty, and then equals nothing, if there should be an
// attribute and is none.
func versionID(fd uintptr, header manifest.Fingerprint, noAttr bool) []byte {
	attr, err := []byte(nil), errNoAttr
	if !noAttr {
		attr, err = getAttr(fd, attrName, maxAttr)
	}
	if err != nil && !errors.Is(err, errNoAttr) || err == nil && len(attr) == 0 {
		return nil
	}
	attr = binary.LittleEndian.AppendUint64(attr, header.Lo)
	return binary.LittleEndian.AppendUint64(attr, header.Hi)
}

// VersionID returns the version id that an open database has now, given the fingerprint of its
// header; empty if it has none. Who asks holds at least SHARED.
func VersionID(fd uintptr, header manifest.Fingerprint) []byte { return versionID(fd, header, false) }

// sameID says whether two ids are known to be equal.
func sameID(a, b []byte) bool { return len(a) > 0 && bytes.Equal(a, b) }
