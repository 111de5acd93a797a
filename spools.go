package boule

import (
	"errors"
	"fmt"
	"strings"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/internal/instance"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store/target"
)

// spoolInfo is a spool with what its metadata say.
type spoolInfo struct {
	spool.Info
	target target.Target
	name   string // of the staged manifest
	staged *manifest.Manifest

	activity *Activity // nil if it is not known
}

// spools are those of cfg, as far as they can be read.
func (c *Config) spools() []spoolInfo {
	dir, err := c.spoolDir()
	if err != nil {
		return nil
	}
	spools, _ := readSpools(dir)
	return spools
}

// spoolDir is where the spools are.
func (c *Config) spoolDir() (string, error) {
	if c.SpoolDir != "" {
		return c.SpoolDir, nil
	}
	return DefaultSpoolDir()
}

// readSpools lists the spools below dir, making nothing.
func readSpools(dir string) ([]spoolInfo, error) {
	if !instance.Supported {
		return nil, nil
	}
	root, err := openSpool(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	list, err := root.Spools()
	if err != nil {
		return nil, fmt.Errorf("boule: read spool: %w", err)
	}
	var infos []spoolInfo
	for _, info := range list {
		s := spoolInfo{Info: info}
		if err := decodeStrict(info.Target.Spec, &s.target); err != nil || s.Path == "" {
			continue // being made, or of a later version
		}
		if c, err := root.Consumer(info.Key); err == nil {
			s.readStaged(c)
			c.Close()
		}
		s.activity, _ = copier.ReadReport(root, info.Key)
		infos = append(infos, s)
	}
	return infos, nil
}

// openSpool opens the root of the spools below dir for reading.
func openSpool(dir string) (*spool.Root, error) {
	root, err := spool.OpenRoot(dir, 0, nil)
	if err != nil {
		return nil, fmt.Errorf("boule: open spool: %w", err)
	}
	return root, nil
}

// whyNotSpooled says why the database at path can't be replicated by way of dir; nil when it can.
func whyNotSpooled(dir, path string) error {
	if !instance.Supported {
		return ErrUnsupported
	}
	root, err := openSpool(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return errors.Join(spool.ValidPath(path), root.Check())
}

// unflushed lists what earlier boots had not uploaded and this one has not staged yet. What can't be
// found out is left out: the status of what is spooled tells why.
func unflushed(dir string) []spool.Unflushed {
	if !instance.Supported {
		return nil
	}
	root, err := openSpool(dir)
	if err != nil {
		return nil
	}
	defer root.Close()
	all, _ := root.Unflushed()
	return all
}

// present picks, of the spools of a path, those of the file that is there now, or
// all if there is none. The others are of files that it replaced.
func present(path string, infos []spoolInfo) []spoolInfo {
	dev, ino, ok := fileID(path)
	if !ok {
		return infos
	}
	var now []spoolInfo
	for _, s := range infos {
		if s.Key.Dev == dev && s.Key.Ino == ino {
			now = append(now, s)
		}
	}
	return now
}

// hostname is that under which the spool was filled, as far as its manifest tells.
func (s *spoolInfo) hostname() (string, bool) {
	if host, _, ok := manifest.ParseName(s.name); ok {
		return host, true
	}
	if s.staged == nil {
		return "", false
	}
	// The name was shortened. The writer, which is advisory, is right if it
	// leads to the same name.
	i := strings.LastIndexByte(s.staged.Writer, ' ')
	if i < 0 {
		return "", false
	}
	host := s.staged.Writer[:i]
	return host, manifest.Name(host, s.Path) == s.name
}

// readStaged finds the manifest that is staged, if there is one.
func (s *spoolInfo) readStaged(c *spool.Consumer) {
	ms, err := c.StagedManifests()
	if err != nil {
		return
	}
	for _, m := range ms {
		defer m.Close()
		b, err := m.Bytes()
		if err != nil {
			continue
		}
		if dec, err := manifest.Decode(b); err == nil && (s.staged == nil || dec.Sequence > s.staged.Sequence) {
			s.name, s.staged = m.Name, dec
		}
	}
}
