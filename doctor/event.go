package doctor

import (
	"fmt"
	"strings"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/store"
)

// A Role says what an actor is.
type Role int

// The roles. What a foreign program or a cleaner does is judged by its effect only.
const (
	Other Role = iota
	Producer
	Consumer
)

// An Actor is who did something: one tracker, or one pass of a copier.
type Actor struct {
	Role    Role
	Process int    // a number for each process
	Name    string // unique in the process
}

// An Op is what was done: an fsx.Op, a verb of a store in [StoreOp], or one of these.
type Op string

// Operations that are neither of files nor of stores.
const (
	OpSQLite    Op = "sqlite"    // a call of SQLite's; Got and Want
	OpExclusive Op = "exclusive" // Data is the version id when the actor took its EXCLUSIVE lock
	OpReadDB    Op = "readdb"    // a producer reads Data of the database at Offset
	OpRead      Op = "read"      // a reader's; Name is the snapshot, Data what stands at Offset
	OpPassBegin Op = "passbegin" // Name is the spool
	OpPassEnd   Op = "passend"
)

// StoreOp is the operation of a call of a store.
func StoreOp(verb store.Verb) Op { return Op(fmt.Sprint("store ", verb)) }

func (op Op) store() bool { return strings.HasPrefix(string(op), "store ") }

// An Event is something that was done.
type Event struct {
	Actor Actor
	Op    Op
	Name  string // of a file, in the prefix, with slashes; the key for a store
	Err   error  // why it failed; it has no effect then

	Target string // of a store's call
	Data   []byte // what was read or published, of manifests; see the operations
	Count  int    // names returned by a readdir
	Offset int64
	Got    any // of an OpSQLite: what a call returned
	Want   any // and what it would return without Boule
}

func (e Event) is(ops ...fsx.Op) bool {
	for _, op := range ops {
		if e.Op == Op(op) {
			return true
		}
	}
	return false
}
