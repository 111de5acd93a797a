package embed_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/boule-db/boule/embed"
)

func TestChecksum(t *testing.T) {
	sum := sha256.Sum256(embed.Wasm())
	if got := hex.EncodeToString(sum[:]); got != embed.SHA256 {
		t.Errorf("checksum is %s, want %s", got, embed.SHA256)
	}
}

func TestNotice(t *testing.T) {
	notice, err := os.ReadFile("NOTICE")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{embed.Version, embed.SHA256} {
		if !strings.Contains(string(notice), want) {
			t.Errorf("NOTICE does not have %s", want)
		}
	}
}

func TestImportSetsNothing(t *testing.T) {
	if configured {
		t.Error("go-sqlite3 is configured by an import")
	}
}

func TestVersion(t *testing.T) {
	got := query(t, open(t, ":memory:"), `SELECT sqlite_version() UNION ALL SELECT sqlite_source_id()`)
	if want := []string{embed.Version, embed.SourceID}; !slices.Equal(got, want) {
		t.Errorf("SQLite is %q, want %q", got, want)
	}
}

// go-sqlite3's Go code calls the exports, and is what the imports call.
func TestSameInterfaceAsStock(t *testing.T) {
	binary, err := os.ReadFile(stock(t))
	if err != nil {
		t.Fatal(err)
	}
	got, want := interfaceOf(t, embed.Wasm()), interfaceOf(t, binary)
	if len(want) != 230 {
		t.Errorf("the stock binary has %d imports and exports", len(want))
	}
	for _, entry := range got {
		if !slices.Contains(want, entry) {
			t.Errorf("ours has %s", entry)
		}
	}
	for _, entry := range want {
		if !slices.Contains(got, entry) {
			t.Errorf("ours lacks %s", entry)
		}
	}
}

// interfaceOf lists what a binary imports and exports.
func interfaceOf(t *testing.T, binary []byte) []string {
	t.Helper()
	ctx := context.Background()
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer runtime.Close(ctx)
	module, err := runtime.CompileModule(ctx, binary)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	add := func(kind, name string, f api.FunctionDefinition) {
		list = append(list, fmt.Sprintf("%s%s %v %v", kind, name, f.ParamTypes(), f.ResultTypes()))
	}
	for _, f := range module.ImportedFunctions() {
		namespace, name, _ := f.Import()
		add("import "+namespace+".", name, f)
	}
	for name, f := range module.ExportedFunctions() {
		add("export ", name, f)
	}
	for name := range module.ExportedMemories() {
		list = append(list, "export memory "+name)
	}
	return list
}

// README.md tells which of these differ from the stock binary's, and why.
func TestCompileOptions(t *testing.T) {
	want := strings.Fields(`
		ALLOW_URI_AUTHORITY ATOMIC_INTRINSICS=1 COMPILER=clang-22.1.8 DEFAULT_AUTOVACUUM DEFAULT_CACHE_SIZE=-2000
		DEFAULT_FILE_FORMAT=4 DEFAULT_FOREIGN_KEYS DEFAULT_JOURNAL_SIZE_LIMIT=-1 DEFAULT_MMAP_SIZE=0 DEFAULT_PAGE_SIZE=4096
		DEFAULT_PCACHE_INITSZ=20 DEFAULT_RECURSIVE_TRIGGERS DEFAULT_SECTOR_SIZE=4096 DEFAULT_SYNCHRONOUS=2
		DEFAULT_WAL_AUTOCHECKPOINT=1000 DEFAULT_WAL_SYNCHRONOUS=1 DEFAULT_WORKER_THREADS=0 DIRECT_OVERFLOW_READ DQS=0
		ENABLE_API_ARMOR ENABLE_COLUMN_METADATA ENABLE_FTS5 ENABLE_GEOPOLY ENABLE_MATH_FUNCTIONS ENABLE_RTREE
		ENABLE_SETLK_TIMEOUT ENABLE_STAT4 HAVE_ISNAN LIKE_DOESNT_MATCH_BLOBS MALLOC_SOFT_LIMIT=1024 MAX_ATTACHED=10
		MAX_COLUMN=2000 MAX_COMPOUND_SELECT=500 MAX_DEFAULT_PAGE_SIZE=8192 MAX_EXPR_DEPTH=1000 MAX_FUNCTION_ARG=1000
		MAX_LENGTH=1000000000 MAX_LIKE_PATTERN_LENGTH=50000 MAX_MMAP_SIZE=0 MAX_PAGE_COUNT=0xfffffffe MAX_PAGE_SIZE=65536
		MAX_SQL_LENGTH=1000000000 MAX_TRIGGER_DEPTH=1000 MAX_VARIABLE_NUMBER=32766 MAX_VDBE_OP=250000000
		MAX_WORKER_THREADS=0 MUTEX_OMIT OMIT_AUTOINIT OMIT_DEPRECATED OMIT_DESERIALIZE OMIT_LOAD_EXTENSION
		OMIT_SHARED_CACHE SOUNDEX STRICT_SUBTYPE SYSTEM_MALLOC TEMP_STORE=1 THREADSAFE=0 UNTESTABLE`)
	got := query(t, open(t, ":memory:"), `PRAGMA compile_options`)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("compiled with\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func open(tb testing.TB, name string) *sqlite3.Conn {
	tb.Helper()
	conn, err := sqlite3.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return conn
}

func execSQL(tb testing.TB, conn *sqlite3.Conn, sql string) {
	tb.Helper()
	if err := conn.Exec(sql); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

// query returns the first column.
func query(tb testing.TB, conn *sqlite3.Conn, sql string) []string {
	tb.Helper()
	stmt, _, err := conn.Prepare(sql)
	if err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	defer stmt.Close()
	var rows []string
	for stmt.Step() {
		rows = append(rows, stmt.ColumnText(0))
	}
	if err := stmt.Err(); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	return rows
}
