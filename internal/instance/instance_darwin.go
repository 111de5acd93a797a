package instance

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Supported says whether the spool protocol can hold on this platform, for which
// boots have to be told apart.
const Supported = true

// Boot returns the current boot.
func Boot() (ID, error) {
	t, terr := unix.SysctlTimeval("kern.boottime")
	uuid, uerr := unix.Sysctl("kern.bootsessionuuid")
	if err := errors.Join(terr, uerr); err != nil {
		return ID{}, fmt.Errorf("identify boot: %w", err)
	}
	secs, _ := t.Unix()
	id, err := newID(secs, uuid)
	if err != nil {
		return ID{}, fmt.Errorf("identify boot: %w", err)
	}
	return id, nil
}

func processBirth() (uint32, error) { return 0, ErrUnsupported }

func configuredHostname() string {
	name, err := unix.Sysctl("kern.hostname")
	if err != nil {
		return ""
	}
	return name
}
