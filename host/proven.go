package host

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/cpu"
)

// provenFile says which entry of the cache was used with success, by which kind of machine.
const provenFile = "proven"

// proof is what the file says while all that matters is as it was then: the entry, by its name and
// checksum, and what wazero chooses it by. It is empty if there is no such entry, or
// more than one.
func (c *cacheDir) proof() string {
	var entry, sum string
	n := 0
	err := c.each(func(path string, _ os.DirEntry) error {
		dir, name := filepath.Split(path)
		if strings.HasSuffix(name, sumSuffix) || strings.HasSuffix(name, tmpSuffix) ||
			filepath.Base(dir) != "wazero-"+wazeroVersion()+"-"+runtime.GOARCH+"-"+runtime.GOOS {
			return nil
		}
		n++
		data, err := os.ReadFile(path + sumSuffix)
		entry, sum = name, string(data)
		return err
	})
	if err != nil || n != 1 {
		return ""
	}
	return fmt.Sprintf("%s %s%+v %+v\n", entry, sum, cpu.X86, cpu.ARM64)
}

// proven reports whether the only entry that wazero could take has been used with success on such
// a machine. Its checksum is compared already. Then there is no need to try it out,
// which takes as long again as to start SQLite.
func (c *cacheDir) proven() bool {
	want := c.proof()
	got, err := os.ReadFile(filepath.Join(c.path, provenFile))
	return err == nil && want != "" && string(got) == want
}

// prove notes that the entry was used with success. If that fails it is tried out again
// the next time.
func (c *cacheDir) prove() {
	if proof := c.proof(); proof != "" {
		_ = writeFile(filepath.Join(c.path, provenFile), proof)
	}
}
