package embed_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule/embed"
)

func TestChecksum(t *testing.T) {
	sum := sha256.Sum256(embed.Wasm())
	if got := hex.EncodeToString(sum[:]); got != embed.SHA256 {
		t.Errorf("checksum is %s, want %s", got, embed.SHA256)
	}
}

func TestSameAsInTheModule(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}} {{.Dir}}", "github.com/ncruces/go-sqlite3").Output()
	if err != nil {
		t.Fatal(err)
	}
	version, dir, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if version != "v0.32.0" {
		t.Errorf("go-sqlite3 is %s; v0.32.0 is the last that runs on wazero", version)
	}
	want, err := os.ReadFile(filepath.Join(dir, "embed", "sqlite3.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(embed.Wasm(), want) {
		t.Error("the binary differs from the module's")
	}
}

func TestImportSetsNothing(t *testing.T) {
	if sqlite3.Binary != nil || sqlite3.Path != "" || sqlite3.RuntimeConfig != nil {
		t.Error("go-sqlite3 is configured by an import")
	}
}

func TestVersion(t *testing.T) {
	sqlite3.Binary = embed.Wasm()
	defer func() { sqlite3.Binary = nil }()
	conn, err := sqlite3.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stmt, _, err := conn.Prepare(`SELECT sqlite_version(), sqlite_source_id()`)
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	if !stmt.Step() {
		t.Fatal(stmt.Err())
	}
	if got := stmt.ColumnText(0); got != embed.Version {
		t.Errorf("version is %s, want %s", got, embed.Version)
	}
	if got := stmt.ColumnText(1); got != embed.SourceID {
		t.Errorf("source id is %s, want %s", got, embed.SourceID)
	}
}
