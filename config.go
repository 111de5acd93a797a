package boule

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/boule-db/boule/internal/instance"
	"github.com/boule-db/boule/store/target"
)

// EnvConfig names the environment variable that holds the configuration: JSON
// text, or "@" and the path of a JSON file. Empty counts as unset.
const EnvConfig = "BOULE_CONFIG"

// DefaultDrainTimeout bounds how long closing waits for uploads.
const DefaultDrainTimeout = 10 * time.Second

// Config says what is replicated where. The zero value (and nil) replicates
// nothing. In JSON an unknown key is an error, since a misspelt key would
// silently leave a database without its backup.
type Config struct {
	// MakeDefault is accepted for compatibility. Every database opened through
	// this package is tracked whatever it says, and go-sqlite3 has no default
	// VFS to replace.
	MakeDefault bool `json:"make_default,omitempty"`

	// TempDir is the directory for SQLite's temporary files; it must exist. It
	// holds for the whole process, as in SQLite: the last one set counts.
	TempDir string `json:"tempdir,omitempty"`

	// SpoolDir is where snapshots wait for their upload. Empty means
	// [DefaultSpoolDir] when there are targets.
	SpoolDir string `json:"replication_spooling_dir,omitempty"`

	// SpoolPermissions says what the group may do in SpoolDir when that must be
	// created: 0770 shares it, and everything below, with the group that it gets,
	// so that several users can write one database. Its owner may do everything;
	// others never get any permission.
	SpoolPermissions uint32 `json:"replication_spooling_dir_permissions,omitempty"`

	// Targets are the stores that databases replicate to, all of them, and
	// that replicas are read from, in order.
	Targets []target.Target `json:"replication_targets,omitempty"`

	// LoadingPolicy says how much of a replica is fetched when it is opened.
	LoadingPolicy LoadingPolicy `json:"snapshot_loading_policy,omitzero"`

	// Hostname names this machine in the names of manifests. Empty means the
	// system's own. Set it where the system's does not last (containers).
	Hostname string `json:"hostname,omitempty"`

	// CacheDir is where the compiled SQLite is kept between processes: empty
	// means boule/wazero in the user's cache directory, "off" means nowhere.
	CacheDir string `json:"-"`

	// Logger receives warnings and errors of replication. Nil discards.
	Logger *slog.Logger `json:"-"`

	// DrainTimeout bounds how long closing a database waits for its upload:
	// zero means [DefaultDrainTimeout], negative does not wait.
	DrainTimeout time.Duration `json:"-"`
}

// ParseConfig reads a configuration from JSON text, or, when text starts with
// "@", from the file named by the rest. Unknown keys are errors. The result is
// validated.
func ParseConfig(text string) (*Config, error) {
	from := "configuration"
	data := []byte(text)
	if name, ok := strings.CutPrefix(text, "@"); ok {
		if name == "" {
			return nil, errors.New("boule: read configuration: \"@\" stands alone; write the name of a file after it")
		}
		from = name
		var err error
		if data, err = os.ReadFile(name); err != nil {
			return nil, fmt.Errorf("boule: read configuration: %w", err)
		}
	}
	cfg := new(Config)
	if err := decodeStrict(data, cfg); err != nil {
		return nil, fmt.Errorf("boule: %s: %w", from, err)
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("boule: %s: %w", from, err)
	}
	return cfg, nil
}

// ConfigFromEnv reads the configuration that [EnvConfig] holds; unset or empty
// gives a configuration that replicates nothing.
func ConfigFromEnv() (*Config, error) {
	text := os.Getenv(EnvConfig)
	if text == "" {
		return new(Config), nil
	}
	cfg, err := ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("%w (from %s)", err, EnvConfig)
	}
	return cfg, nil
}

// Validate reports everything that is wrong with c, without touching a store.
func (c *Config) Validate() error {
	var faults []error
	seen := map[string]bool{}
	for i, t := range c.Targets {
		if err := t.Validate(); err != nil {
			faults = append(faults, fmt.Errorf("replication_targets[%d]: %w", i, err))
			continue
		}
		if seen[t.ID()] {
			faults = append(faults, fmt.Errorf("replication_targets[%d]: %s is listed twice", i, t))
		}
		seen[t.ID()] = true
	}
	if c.SpoolPermissions&^0o2777 != 0 {
		faults = append(faults, fmt.Errorf("replication_spooling_dir_permissions: %d is octal %[1]o, which is no mode of a directory (at most 2777); JSON has no octal numbers", c.SpoolPermissions))
	}
	if strings.ContainsFunc(c.Hostname, func(r rune) bool { return r == '/' || unicode.IsControl(r) }) {
		faults = append(faults, fmt.Errorf("hostname: %q has a slash or a control character in it", c.Hostname))
	}
	if err := c.LoadingPolicy.validate(); err != nil {
		faults = append(faults, err)
	}
	if c.TempDir != "" {
		switch fi, err := os.Stat(c.TempDir); {
		case err != nil:
			faults = append(faults, fmt.Errorf("tempdir: %w", err))
		case !fi.IsDir():
			faults = append(faults, fmt.Errorf("tempdir: %s is not a directory", c.TempDir))
		}
	}
	return errors.Join(faults...)
}

// DefaultSpoolDir is the spool directory for those who name none: boule/spool
// in the user's state directory ($XDG_STATE_HOME, else ~/.local/state).
func DefaultSpoolDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "boule", "spool"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("boule: no spool directory: set replication_spooling_dir, or HOME: %w", err)
	}
	return filepath.Join(home, ".local", "state", "boule", "spool"), nil
}

// effective returns what a caller means by cfg, checked: nil stands for the
// configuration of the environment.
func effective(cfg *Config) (*Config, error) {
	if cfg == nil {
		return ConfigFromEnv()
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("boule: configuration: %w", err)
	}
	return cfg, nil
}

func (c *Config) hostname() string {
	if c.Hostname != "" {
		return c.Hostname
	}
	return instance.Hostname()
}

func (c *Config) logger() *slog.Logger {
	if c.Logger != nil {
		return c.Logger
	}
	return slog.New(slog.DiscardHandler)
}

func (c *Config) drainTimeout() time.Duration {
	if c.DrainTimeout == 0 {
		return DefaultDrainTimeout
	}
	return c.DrainTimeout
}

// durable are the targets that hold replicas, as opposed to caches.
func (c *Config) durable() []target.Target {
	var ts []target.Target
	for _, t := range c.Targets {
		if t.S3 != nil || t.File != nil {
			ts = append(ts, t)
		}
	}
	return ts
}
