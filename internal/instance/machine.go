package instance

import (
	"os"
	"strings"
)

// machineFiles hold an id that the installation of the system drew (machine-id(5)).
var machineFiles = []string{"/etc/machine-id", "/var/lib/dbus/machine-id"}

// Machine returns what tells this installation of a system from others, as far as that is known: else its
// name. Copies of an image may share it.
func Machine() string { return machine(machineFiles) }

func machine(files []string) string {
	for _, file := range files {
		b, err := os.ReadFile(file)
		if id := strings.TrimSpace(string(b)); err == nil && id != "" && id != "uninitialized" {
			return id
		}
	}
	return Hostname()
}
