package host

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/boule-db/boule/embed"
)

// A cacheDir is a directory that wazero keeps machine code of SQLite in, one
// file for each set of processor features, in a subdirectory for each version of
// wazero. To each file this package adds a checksum, in a file of that name and
// sumSuffix: wazero checks the machine code, but not the table of where the
// functions are in it.
//
// The order is: entry, then checksum, each by rename. An entry without a
// checksum is either new, being made by another process, or was orphaned by a
// crash: it is removed, which costs at worst one compilation.
type cacheDir struct {
	path string
}

const (
	sumSuffix = ".sum"
	tmpSuffix = ".tmp"
	tmpAge    = time.Hour // of a temporary file that nobody can be writing
)

// openCache returns the directory for this binary below dir, made if need be.
func openCache(dir string) (*cacheDir, error) {
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("host: find cache directory: %w", err)
		}
		dir = filepath.Join(base, "boule", "wazero")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("host: find cache directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("host: make cache directory: %w", err)
	}
	if err := private(dir); err != nil {
		return nil, err
	}
	if err := unreachable(filepath.Dir(dir)); err != nil {
		return nil, err
	}
	c := &cacheDir{path: filepath.Join(dir, "sqlite-"+embed.SHA256[:16])}
	err = os.Mkdir(c.path, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("host: make cache directory: %w", err)
	}
	if err := private(c.path); err != nil {
		return nil, err
	}
	return c, nil
}

// each calls f with each file that is in, or between, what wazero of any version
// keeps for this kind of machine.
func (c *cacheDir) each(f func(path string, entry fs.DirEntry) error) error {
	subs, err := os.ReadDir(c.path)
	if err != nil {
		return fmt.Errorf("host: read cache: %w", err)
	}
	for _, sub := range subs {
		if !strings.HasSuffix(sub.Name(), "-"+runtime.GOARCH+"-"+runtime.GOOS) {
			continue
		}
		dir := filepath.Join(c.path, sub.Name())
		if err := private(dir); err != nil {
			return err
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("host: read cache: %w", err)
		}
		for _, file := range files {
			if err := f(filepath.Join(dir, file.Name()), file); err != nil {
				return err
			}
		}
	}
	return nil
}

// check compares every entry with its checksum and removes those that fail. It
// returns the good ones, and the damage, if there was any. An error means that
// the directory must not be used.
func (c *cacheDir) check() (known map[string]bool, damage, err error) {
	known = map[string]bool{}
	err = c.each(func(path string, entry fs.DirEntry) error {
		switch {
		case strings.HasSuffix(path, sumSuffix):
			return nil
		case strings.HasSuffix(path, tmpSuffix):
			if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > tmpAge {
				_ = os.Remove(path) // of a crash; if it stays it does no harm
			}
			return nil
		}
		want, sealErr := os.ReadFile(path + sumSuffix)
		got, err := checksum(path, entry)
		if err == nil && sealErr == nil && got == string(want) {
			known[path] = true
			return nil
		}
		if !errors.Is(sealErr, fs.ErrNotExist) { // else it is just unfinished
			damage = fmt.Errorf("host: cache entry %s is damaged: %w", filepath.Base(path), errors.Join(err, sealErr, errSum))
		}
		return remove(path)
	})
	return known, damage, err
}

var errSum = errors.New("checksum mismatch")

// clear removes all entries.
func (c *cacheDir) clear() error {
	return c.each(func(path string, _ fs.DirEntry) error {
		if strings.HasSuffix(path, sumSuffix) || strings.HasSuffix(path, tmpSuffix) {
			return nil
		}
		return remove(path)
	})
}

func remove(path string) error {
	// The checksum first: an entry without one is never used.
	for _, name := range []string{path + sumSuffix, path} {
		if err := os.RemoveAll(name); err != nil {
			return fmt.Errorf("host: remove damaged cache entry: %w", err)
		}
	}
	return nil
}

// seal adds checksums to entries that are not known, which must be new.
func (c *cacheDir) seal(known map[string]bool) (added bool, err error) {
	err = c.each(func(path string, entry fs.DirEntry) error {
		if known[path] || strings.HasSuffix(path, sumSuffix) || strings.HasSuffix(path, tmpSuffix) {
			return nil
		}
		added = true
		sum, err := checksum(path, entry)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another process did not like it
		}
		if err != nil {
			return fmt.Errorf("host: seal cache entry: %w", err)
		}
		if err := writeFile(path+sumSuffix, sum); err != nil {
			return fmt.Errorf("host: seal cache entry: %w", err)
		}
		return nil
	})
	return added, err
}

// writable tells whether an entry could be added.
func (c *cacheDir) writable() error {
	f, err := os.CreateTemp(c.path, "probe.*"+tmpSuffix)
	if err != nil {
		return fmt.Errorf("host: cache directory is not writable: %w", err)
	}
	f.Close()
	_ = os.Remove(f.Name())
	return nil
}

func writeFile(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*"+tmpSuffix)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// checksum returns what stands in the file beside an entry. It guards against
// accidents; against malice stands the directory.
func checksum(path string, entry fs.DirEntry) (string, error) {
	if !entry.Type().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", entry.Name())
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := privateFile(f); err != nil {
		return "", err
	}
	h := xxh3.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, make([]byte, 256<<10))
	if err != nil {
		return "", err
	}
	sum := h.Sum128().Bytes()
	return fmt.Sprintf("xxh3-128 %s %d\n", hex.EncodeToString(sum[:]), n), nil
}
