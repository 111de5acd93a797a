//go:build !linux && !darwin

package instance

// Supported says whether the spool protocol can hold on this platform, for which
// boots have to be told apart.
const Supported = false

// Boot fails with [ErrUnsupported].
func Boot() (ID, error) { return ID{}, ErrUnsupported }

func processBirth() (uint32, error) { return 0, ErrUnsupported }

func configuredHostname() string { return "" }
