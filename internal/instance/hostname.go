package instance

import (
	"os"
	"strings"
)

// NoHostname is what [Hostname] returns for a machine without a name. Hosts that
// share it would replicate equal paths onto each other: configure names there.
const NoHostname = "no.hostname.boule"

// Hostname returns the name of this machine: what the administrator gave it, else
// what the system says, else [NoHostname]. It is valid UTF-8.
func Hostname() string {
	if name := cleanHostname(configuredHostname()); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return NoHostname
	}
	if name = cleanHostname(name); name != "" {
		return name
	}
	return NoHostname
}

func cleanHostname(name string) string {
	return strings.ToValidUTF8(strings.TrimSpace(name), "_")
}

// firstLine returns the first line of a file like /etc/hostname that is not empty
// or a comment.
func firstLine(text string) string {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && line[0] != '#' {
			return line
		}
	}
	return ""
}
