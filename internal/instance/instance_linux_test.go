package instance_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/boule-db/boule/internal/instance"
)

func TestBootFrom(t *testing.T) {
	got, err := instance.BootFrom("testdata/stat", "testdata/boot_id")
	if want := (instance.ID{Time: 1700000123, UUID: uuid}); got != want || err != nil {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	_, err = instance.BootFrom("testdata/absent", "testdata/boot_id")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no stat: got %v", err)
	}
	_, err = instance.BootFrom("testdata/stat", "testdata/absent")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no boot_id: got %v", err)
	}
	bad := filepath.Join(t.TempDir(), "boot_id")
	if err := os.WriteFile(bad, []byte("../../etc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = instance.BootFrom("testdata/stat", bad)
	if !errors.Is(err, instance.ErrSyntax) {
		t.Errorf("bad boot_id: got %v", err)
	}
}
