package file

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/boule-db/boule/store"
)

// listBatch is how many names of one directory are in memory at once, give or
// take a factor of two. A larger directory is read several times.
const listBatch = 16 << 10

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		if err := s.list(ctx, prefix, yield); err != nil && !errors.Is(err, errStop) {
			yield(store.Info{}, s.fail("list", prefix, err))
		}
	}
}

// errStop says that the caller has seen enough.
var errStop = errors.New("stop")

func (s *Store) list(ctx context.Context, prefix string, yield func(store.Info, error) bool) error {
	if err := store.CheckPrefix(prefix); err != nil {
		return err
	}
	root, c, err := s.open()
	if isAbsent(err) {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	defer root.Close()
	l := &lister{ctx: ctx, root: root, codec: c, batch: s.listBatch, yield: yield}
	// Begin in the directory that the prefix names, with its last segment as a
	// filter.
	base, start := prefix[:strings.LastIndexByte(prefix, '/')+1], "."
	if base != "" {
		start = c.place(strings.TrimSuffix(base, "/")).path()
	}
	return l.walk(start, base, prefix[len(base):])
}

// lister is one listing.
type lister struct {
	ctx   context.Context // of the List call, whose state this is
	root  *os.Root
	codec codec
	batch int
	yield func(store.Info, error) bool
}

// An item is an object or a directory of objects.
type item struct {
	segment string
	dir     bool
	path    string // of the directory
}

// order is what items are sorted by: so that the keys come out in byte order.
func (i item) order() string {
	if i.dir {
		return i.segment + "/"
	}
	return i.segment
}

// walk lists a directory, whose keys begin with base, as far as the next
// segment begins with filter.
func (l *lister) walk(dir, base, filter string) error {
	for cursor := (*item)(nil); ; {
		items, more, err := l.read(dir, filter, cursor)
		if err != nil {
			return err
		}
		for _, i := range items {
			if err := context.Cause(l.ctx); err != nil {
				return err
			}
			if i.dir {
				err = l.walk(i.path, base+i.segment+"/", "")
			} else {
				err = l.object(base + i.segment)
			}
			if err != nil {
				return err
			}
		}
		if !more {
			return context.Cause(l.ctx)
		}
		cursor = &items[len(items)-1]
	}
}

func (l *lister) object(key string) error {
	if len(key) > store.MaxKey {
		return nil // not ours
	}
	_, fi, err := stat(l.root, l.codec.place(key))
	if errors.Is(err, store.ErrNotExist) {
		return nil // deleted since
	}
	if err != nil {
		return err
	}
	if !l.yield(describe(key, fi), nil) {
		return errStop
	}
	return nil
}

// read returns the next items of a directory after the cursor, in order, and
// whether there are more.
func (l *lister) read(dir, filter string, cursor *item) (items []item, more bool, err error) {
	trim := func() {
		slices.SortFunc(items, func(a, b item) int { return strings.Compare(a.order(), b.order()) })
		// An object may have been seen both before and after it moved aside.
		items = slices.CompactFunc(items, func(a, b item) bool { return a.order() == b.order() })
		if len(items) > l.batch {
			clear(items[l.batch:])
			items, more = items[:l.batch], true
		}
	}
	add := func(i item) {
		if !strings.HasPrefix(i.segment, filter) || cursor != nil && i.order() <= cursor.order() {
			return
		}
		if items = append(items, i); len(items) >= 2*l.batch {
			trim()
		}
	}
	err = l.scan(dir, "", func(i item) {
		add(i)
		if i.dir {
			// Its namesake may be moving aside right now.
			add(item{segment: i.segment})
		}
	})
	trim()
	return items, more, err
}

// scan reads the names in a directory, and in those of the pieces of long
// segments below it. head is the pieces so far.
func (l *lister) scan(dir, head string, add func(item)) error {
	d, err := l.root.Open(dir)
	if isAbsent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		entries, err := d.ReadDir(512)
		for _, e := range entries {
			if err := l.entry(dir, head, e, add); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF || isAbsent(err):
			return context.Cause(l.ctx)
		case err != nil:
			return err
		}
	}
}

func (l *lister) entry(dir, head string, e fs.DirEntry, add func(item)) error {
	name := e.Name()
	if piece, ok := strings.CutSuffix(name, moreSuffix); ok {
		if e.IsDir() && len(piece) == pieceLen {
			return l.scan(join(dir, name), head+piece, add)
		}
		return nil
	}
	plain := name
	if head != "" {
		rest, ok := strings.CutPrefix(name, lastPrefix)
		if !ok {
			return nil
		}
		plain = head + rest
	}
	if !e.IsDir() {
		plain = strings.TrimSuffix(plain, objSuffix)
	}
	segment, ok := l.codec.decode(plain)
	if !ok {
		return nil // not an object
	}
	if names := l.codec.names(segment); len(names) != len(head)/pieceLen+1 {
		return nil // not in the form that Put would give it
	}
	if e.IsDir() {
		add(item{segment: segment, dir: true, path: join(dir, name)})
	} else {
		add(item{segment: segment})
	}
	return nil
}
