package instance

import (
	"fmt"
	"os"
)

// Supported says whether the spool protocol can hold on this platform, for which
// boots have to be told apart.
const Supported = true

// Boot returns the current boot.
func Boot() (ID, error) {
	id, err := boot("/proc/stat", "/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ID{}, fmt.Errorf("identify boot: %w", err)
	}
	return id, nil
}

func boot(stat, bootID string) (ID, error) {
	b, err := os.ReadFile(stat)
	if err != nil {
		return ID{}, err
	}
	secs, err := bootTime(b)
	if err != nil {
		return ID{}, err
	}
	uuid, err := os.ReadFile(bootID)
	if err != nil {
		return ID{}, err
	}
	return newID(secs, string(uuid))
}

func processBirth() (uint32, error) {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, err
	}
	tick, err := startTick(b)
	return uint32(tick), err
}

func configuredHostname() string {
	b, err := os.ReadFile("/etc/hostname")
	if err != nil {
		return ""
	}
	return firstLine(string(b))
}
