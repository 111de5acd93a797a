package wasmvfs_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	osexec "os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/wasmvfs"
)

// An ability is an interface that go-sqlite3 looks for in a file.
type ability struct {
	is   func(vfs.File) bool // nil: it can't be implemented outside of go-sqlite3
	os   bool                // the file of the os VFS has it
	ours string              // our files that have it: databases, journals, WALs, others
	ops  []string            // file controls that it answers
}

// abilities are all of them; the package comment says why. On systems that are
// not Unix a journal and a WAL are what any other file is.
var abilities = map[string]ability{
	"FileUnwrap":             {is[vfs.FileUnwrap], false, "db journal wal other", nil},
	"FileLockState":          {is[vfs.FileLockState], true, "db other", []string{"LOCKSTATE"}},
	"FilePersistWAL":         {is[vfs.FilePersistWAL], true, "db other", []string{"PERSIST_WAL"}},
	"FilePowersafeOverwrite": {is[vfs.FilePowersafeOverwrite], true, "db other", []string{"POWERSAFE_OVERWRITE"}},
	"FileSizeHint":           {is[vfs.FileSizeHint], true, "db other", []string{"SIZE_HINT"}},
	"FileHasMoved":           {is[vfs.FileHasMoved], true, "db other", []string{"HAS_MOVED"}},
	"FileSharedMemory":       {is[vfs.FileSharedMemory], vfs.SupportsSharedMemory, "db other", []string{"LOCK_TIMEOUT"}},
	"FileChunkSize":          {is[vfs.FileChunkSize], false, "db other", []string{"CHUNK_SIZE"}},
	"FileCommitPhaseTwo":     {is[vfs.FileCommitPhaseTwo], false, "db", []string{"COMMIT_PHASETWO"}},
	"FilePragma":             {is[vfs.FilePragma], false, "db", []string{"PRAGMA"}},
	"filePDB":                {is[filePDB], false, "db", []string{"PDB"}},
	"FileOverwrite":          {is[vfs.FileOverwrite], false, "", []string{"OVERWRITE"}},
	"FileSync":               {is[vfs.FileSync], false, "", []string{"SYNC"}},
	"FileCheckpoint":         {is[vfs.FileCheckpoint], false, "", []string{"CKPT_START", "CKPT_DONE"}},
	"FileBusyHandler":        {is[vfs.FileBusyHandler], false, "", []string{"BUSYHANDLER"}},
	// The file of the os VFS has the methods on Linux, of some machines.
	"FileBatchAtomicWrite": {nil, false, "", []string{"BEGIN_ATOMIC_WRITE", "COMMIT_ATOMIC_WRITE", "ROLLBACK_ATOMIC_WRITE"}},
	"fileControl":          {nil, false, "", nil},
}

type filePDB interface {
	vfs.File
	SetDB(any)
}

// TestEveryAbilityIsKnown reads go-sqlite3, and fails when that asks a file for
// something that is not in the table, or not in the package comment.
func TestEveryAbilityIsKnown(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(doc), "\n//", "")
	var found []string
	for _, decl := range parse(t, "api.go").Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		for _, spec := range gen.Specs {
			spec := spec.(*ast.TypeSpec)
			if kind, ok := spec.Type.(*ast.InterfaceType); ok && embedsFile(kind) {
				found = append(found, spec.Name.Name)
			}
		}
	}
	var known, ops []string
	for name, a := range abilities {
		known = append(known, name)
		ops = append(ops, a.ops...)
		if name[0] == 'F' && !strings.Contains(text, name) {
			t.Errorf("the package comment says nothing of %s", name)
		}
	}
	wantSame(t, "interfaces", found, known)

	found = nil
	ast.Inspect(parse(t, "vfs.go"), func(n ast.Node) bool {
		f, ok := n.(*ast.FuncDecl)
		if ok {
			return f.Name.Name == "vfsFileControlImpl"
		}
		if c, ok := n.(*ast.CaseClause); ok && len(c.List) > 0 {
			if id, ok := c.List[0].(*ast.Ident); ok && strings.HasPrefix(id.Name, "_FCNTL_") {
				found = append(found, strings.TrimPrefix(id.Name, "_FCNTL_"))
			}
		}
		return true
	})
	ops = append(ops, "NULL_IO") // is [io.Closer]
	wantSame(t, "file controls", found, ops)
	for _, op := range ops {
		if !strings.Contains(text, "SQLITE_FCNTL_"+op) {
			t.Errorf("the package comment says nothing of SQLITE_FCNTL_%s", op)
		}
	}
}

// parse reads a file of go-sqlite3's package vfs.
func parse(t *testing.T, name string) *ast.File {
	t.Helper()
	out, err := osexec.Command("go", "list", "-f", "{{.Dir}}", "github.com/ncruces/go-sqlite3/vfs").Output()
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(out)), name), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func embedsFile(i *ast.InterfaceType) bool {
	return slices.ContainsFunc(i.Methods.List, func(f *ast.Field) bool {
		id, ok := f.Type.(*ast.Ident)
		return ok && len(f.Names) == 0 && id.Name == "File"
	})
}

func wantSame(t *testing.T, what string, found, known []string) {
	t.Helper()
	slices.Sort(found)
	slices.Sort(known)
	if !slices.Equal(found, known) {
		t.Errorf("%s in go-sqlite3:\n%v\nin the table:\n%v", what, found, known)
	}
}

// TestAbilities compares the table with the files.
func TestAbilities(t *testing.T) {
	files := map[string]vfs.File{}
	c := open(t, wasmvfs.Name, tempPath(t), "")
	files["db"] = fileOf(t, c)
	theirs := files["db"].(vfs.FileUnwrap).Unwrap()
	for kind, mode := range map[string]string{"journal": "DELETE", "wal": "WAL"} {
		if mode == "WAL" && !vfs.SupportsSharedMemory {
			continue
		}
		c := open(t, wasmvfs.Name, tempPath(t), "")
		setUp(t, c, mode)
		exec(t, c, "BEGIN; INSERT INTO t VALUES (1, 2, 3)")
		files[kind] = journalOf(t, c)
	}
	other, _, err := wasmvfs.New(nil, nil).Open("", vfs.OPEN_READWRITE|vfs.OPEN_CREATE|vfs.OPEN_EXCLUSIVE|vfs.OPEN_DELETEONCLOSE|vfs.OPEN_TEMP_DB)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	files["other"] = other
	for name, a := range abilities {
		if a.is == nil {
			continue
		}
		if got := a.is(theirs); got != a.os {
			t.Errorf("%s: the file of the os VFS has it: %v, want %v", name, got, a.os)
		}
		for kind, f := range files {
			want := kind
			if !syncsDirectories && (kind == "journal" || kind == "wal") {
				want = "other"
			}
			if got, want := a.is(f), strings.Contains(a.ours, want); got != want {
				t.Errorf("%s: a %s has it: %v, want %v", name, kind, got, want)
			}
			if _, ok := f.(vfs.FileBatchAtomicWrite); ok {
				t.Errorf("a %s has the methods of a batch atomic write", kind)
			}
		}
		if a.os && (!strings.Contains(a.ours, "db") || !strings.Contains(a.ours, "other")) {
			t.Errorf("%s is not forwarded", name)
		}
	}
}

// journalOf returns our file of the journal, or WAL, of a connection.
func journalOf(t testing.TB, c *sqlite3.Conn) vfs.File {
	t.Helper()
	f, err := c.FileControl("main", sqlite3.FCNTL_JOURNAL_POINTER)
	if err != nil {
		t.Fatal(err)
	}
	return f.(vfs.File)
}

// A spy is a file below ours that has all the abilities that the os VFS has. It notes
// what it is asked, and gives the answers that call has for it.
type spy struct {
	called  []any
	answers []any
}

func (s *spy) note(args ...any) { s.called = args }

func (s *spy) err(i int) error { err, _ := s.answers[i].(error); return err }

func (s *spy) ReadAt(p []byte, off int64) (int, error) {
	s.note("ReadAt", p, off)
	return s.answers[0].(int), s.err(1)
}

func (s *spy) WriteAt(p []byte, off int64) (int, error) {
	s.note("WriteAt", p, off)
	return s.answers[0].(int), s.err(1)
}

func (s *spy) CheckReservedLock() (bool, error) {
	s.note("CheckReservedLock")
	return s.answers[0].(bool), s.err(1)
}

func (s *spy) DeviceCharacteristics() vfs.DeviceCharacteristic {
	s.note("DeviceCharacteristics")
	return s.answers[0].(vfs.DeviceCharacteristic)
}

func (s *spy) SharedMemory() vfs.SharedMemory {
	s.note("SharedMemory")
	return s.answers[0].(vfs.SharedMemory)
}

func (s *spy) Truncate(size int64) error        { s.note("Truncate", size); return s.err(0) }
func (s *spy) Sync(flags vfs.SyncFlag) error    { s.note("Sync", flags); return s.err(0) }
func (s *spy) Size() (int64, error)             { s.note("Size"); return s.answers[0].(int64), s.err(1) }
func (s *spy) Lock(level vfs.LockLevel) error   { s.note("Lock", level); return s.err(0) }
func (s *spy) Unlock(level vfs.LockLevel) error { s.note("Unlock", level); return s.err(0) }
func (s *spy) SectorSize() int                  { s.note("SectorSize"); return s.answers[0].(int) }
func (s *spy) SizeHint(size int64) error        { s.note("SizeHint", size); return s.err(0) }
func (s *spy) HasMoved() (bool, error)          { s.note("HasMoved"); return s.answers[0].(bool), s.err(1) }

func (s *spy) LockState() vfs.LockLevel      { s.note("LockState"); return s.answers[0].(vfs.LockLevel) }
func (s *spy) PersistWAL() bool              { s.note("PersistWAL"); return s.answers[0].(bool) }
func (s *spy) SetPersistWAL(on bool)         { s.note("SetPersistWAL", on) }
func (s *spy) PowersafeOverwrite() bool      { s.note("PowersafeOverwrite"); return s.answers[0].(bool) }
func (s *spy) SetPowersafeOverwrite(on bool) { s.note("SetPowersafeOverwrite", on) }
func (s *spy) Close() error                  { s.note("Close"); return s.err(0) }

// TestEveryCallIsForwarded, with its arguments, and every answer and error comes back.
func TestEveryCallIsForwarded(t *testing.T) {
	failed := errors.New("failed")
	page := []byte("page")
	shm := vfs.NewSharedMemory("", vfs.OPEN_MAIN_DB)
	type values = []any
	tests := []struct {
		name          string
		args, answers values
	}{
		{"ReadAt", values{page, int64(7)}, values{3, failed}},
		{"WriteAt", values{page, int64(7)}, values{3, failed}},
		{"Truncate", values{int64(7)}, values{failed}},
		{"Sync", values{vfs.SYNC_FULL}, values{failed}},
		{"Size", nil, values{int64(7), failed}},
		{"Lock", values{vfs.LOCK_RESERVED}, values{failed}},
		{"Unlock", values{vfs.LOCK_SHARED}, values{failed}},
		{"CheckReservedLock", nil, values{true, failed}},
		{"SectorSize", nil, values{512}},
		{"DeviceCharacteristics", nil, values{vfs.IOCAP_ATOMIC | vfs.IOCAP_SAFE_APPEND}},
		{"LockState", nil, values{vfs.LOCK_PENDING}},
		{"PersistWAL", nil, values{true}},
		{"SetPersistWAL", values{true}, nil},
		{"PowersafeOverwrite", nil, values{true}},
		{"SetPowersafeOverwrite", values{true}, nil},
		{"SizeHint", values{int64(7)}, values{failed}},
		{"HasMoved", nil, values{true, failed}},
		{"SharedMemory", nil, values{shm}},
		{"Close", nil, values{failed}},
	}
	methods := map[string]bool{}
	for _, face := range []reflect.Type{
		reflect.TypeFor[vfs.File](), reflect.TypeFor[vfs.FileLockState](), reflect.TypeFor[vfs.FilePersistWAL](),
		reflect.TypeFor[vfs.FilePowersafeOverwrite](), reflect.TypeFor[vfs.FileSizeHint](), reflect.TypeFor[vfs.FileHasMoved](),
		reflect.TypeFor[vfs.FileSharedMemory](),
	} {
		for i := range face.NumMethod() {
			methods[face.Method(i).Name] = true
		}
	}
	for _, test := range tests {
		delete(methods, test.name)
	}
	if len(methods) > 0 {
		t.Errorf("these are not tested: %v", methods)
	}
	inner := &spy{}
	db, other := wasmvfs.Wrap(inner)
	for kind, f := range map[string]vfs.File{"database": db, "other file": other} {
		for _, test := range tests {
			inner.called, inner.answers = nil, test.answers
			// The file may look at the state of its lock, and close by unlocking.
			if kind == "database" && slices.Contains([]string{"Lock", "Unlock", "Close"}, test.name) {
				continue
			}
			var in []reflect.Value
			for _, arg := range test.args {
				in = append(in, reflect.ValueOf(arg))
			}
			var got values
			for _, v := range reflect.ValueOf(f).MethodByName(test.name).Call(in) {
				got = append(got, v.Interface())
			}
			if !reflect.DeepEqual(got, test.answers) {
				t.Errorf("%s: %s says %v, want %v", kind, test.name, got, test.answers)
			}
			if want := append(values{test.name}, test.args...); !reflect.DeepEqual(inner.called, want) {
				t.Errorf("%s: %s calls %v, want %v", kind, test.name, inner.called, want)
			}
		}
	}
}

// TestFileControls asks the file of the os VFS through ours.
func TestFileControls(t *testing.T) {
	c := open(t, wasmvfs.Name, tempPath(t), "")
	ours := fileOf(t, c)
	theirs := ours.(vfs.FileUnwrap).Unwrap()
	if vfsutil.WrapSharedMemory(ours) != vfsutil.WrapSharedMemory(theirs) {
		t.Error("the shared memory is another")
	}

	for _, on := range []bool{true, false} {
		for _, op := range []sqlite3.FcntlOpcode{sqlite3.FCNTL_PERSIST_WAL, sqlite3.FCNTL_POWERSAFE_OVERWRITE} {
			if _, err := c.FileControl("main", op, on); err != nil {
				t.Fatal(err)
			}
			if got, err := c.FileControl("main", op); got != on || err != nil {
				t.Errorf("file control %d after setting it to %v: %v, %v", op, on, got, err)
			}
		}
	}
	if got, err := c.FileControl("main", sqlite3.FCNTL_LOCKSTATE); got != vfs.LOCK_NONE || err != nil {
		t.Errorf("lock state: %v, %v", got, err)
	}
	exec(t, c, "BEGIN IMMEDIATE")
	if got, err := c.FileControl("main", sqlite3.FCNTL_LOCKSTATE); got != vfs.LOCK_RESERVED || err != nil {
		t.Errorf("lock state: %v, %v", got, err)
	}
	exec(t, c, "CREATE TABLE t (a); COMMIT")
	path := c.Filename("main").String()
	if err := os.Rename(path, path+"-moved"); err != nil {
		t.Fatal(err)
	}
	if moved, err := ours.(vfs.FileHasMoved).HasMoved(); !moved || err != nil {
		t.Errorf("moved: %v, %v", moved, err)
	}
}

// TestChunkSize has a database grow and shrink by chunks.
func TestChunkSize(t *testing.T) {
	path := tempPath(t)
	c := open(t, wasmvfs.Name, path, "")
	if _, err := c.FileControl("main", sqlite3.FCNTL_CHUNK_SIZE, 32<<10); err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	exec(t, c, "PRAGMA auto_vacuum = full; CREATE TABLE t (a)")
	if n := size(); n != 32<<10 {
		t.Errorf("new database has %d bytes", n)
	}
	wantStaged(t, path)
	exec(t, c, "INSERT INTO t VALUES (randomblob(100000))")
	if n := size(); n != 128<<10 {
		t.Errorf("grown database has %d bytes", n)
	}
	wantStaged(t, path)
	exec(t, c, "DELETE FROM t")
	if n := size(); n != 32<<10 {
		t.Errorf("database has %d bytes after the deletion", n)
	}
	wantStaged(t, path)
}

// TestFullPathname names a database in a directory that does not exist.
func TestFullPathname(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "c")
	full, err := vfs.Find(wasmvfs.Name).FullPathname(filepath.Dir(path) + "/x/../c")
	if full != path || err != nil {
		t.Errorf("%q, %v, want %q", full, err, path)
	}
}

func is[T vfs.File](f vfs.File) bool {
	_, ok := f.(T)
	return ok
}
