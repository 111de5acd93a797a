package boule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

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

	// TempDir is the directory for SQLite's temporary files; it must exist and
	// be writable. It holds for the whole process, as in SQLite.
	TempDir string `json:"tempdir,omitempty"`

	// SpoolDir is where snapshots wait for their upload. Empty means
	// [DefaultSpoolDir] when there are targets.
	SpoolDir string `json:"replication_spooling_dir,omitempty"`

	// SpoolPermissions is the mode of SpoolDir when it must be created; 0700 is
	// always added.
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

// LoadingPolicy says how much of a replica is fetched when it is opened. The
// zero value fetches on demand.
type LoadingPolicy struct {
	// Eager fetches and verifies every chunk at open.
	Eager bool
	// Partial fetches the first chunks and the last: at least Min (one, if
	// zero) and at most Max (16, if zero) of the square root of their number.
	Partial  bool
	Min, Max uint64
}

type partialPolicy struct {
	Min *uint64 `json:"min,omitempty"`
	Max *uint64 `json:"max,omitempty"`
}

// UnmarshalJSON reads "default", "eager", {"eager":null} or
// {"partial":{"min":…,"max":…}}.
func (p *LoadingPolicy) UnmarshalJSON(b []byte) error {
	*p = LoadingPolicy{}
	var name string
	if json.Unmarshal(b, &name) == nil {
		switch name {
		case "default":
			return nil
		case "eager":
			p.Eager = true
			return nil
		}
		return fmt.Errorf("snapshot_loading_policy: %q is none of \"default\", \"eager\", {\"partial\":{…}}", name)
	}
	var form struct {
		Eager   json.RawMessage `json:"eager"`
		Partial *partialPolicy  `json:"partial"`
	}
	if err := decodeStrict(b, &form); err != nil {
		return fmt.Errorf("snapshot_loading_policy: %w", err)
	}
	switch {
	case form.Partial != nil && form.Eager == nil:
		p.Partial = true
		if form.Partial.Min != nil {
			p.Min = *form.Partial.Min
		}
		if form.Partial.Max != nil {
			p.Max = *form.Partial.Max
			if p.Max == 0 || p.Max < p.Min {
				return fmt.Errorf("snapshot_loading_policy: max %d must be at least 1 and at least min %d", p.Max, p.Min)
			}
		}
		return nil
	case string(form.Eager) == "null" && form.Partial == nil:
		p.Eager = true
		return nil
	}
	return errors.New("snapshot_loading_policy: want \"default\", \"eager\" or {\"partial\":{\"min\":…,\"max\":…}}")
}

// MarshalJSON writes what [LoadingPolicy.UnmarshalJSON] reads.
func (p LoadingPolicy) MarshalJSON() ([]byte, error) {
	switch {
	case p.Eager:
		return []byte(`"eager"`), nil
	case p.Partial:
		form := partialPolicy{}
		if p.Min != 0 {
			form.Min = &p.Min
		}
		if p.Max != 0 {
			form.Max = &p.Max
		}
		return json.Marshal(map[string]partialPolicy{"partial": form})
	}
	return []byte(`"default"`), nil
}

// first is how many of n chunks a partial policy fetches at open.
func (p LoadingPolicy) first(n int) int {
	most := p.Max
	if most == 0 {
		most = max(16, p.Min)
	}
	root := uint64(math.Ceil(math.Sqrt(float64(n))))
	return int(min(max(root, p.Min, 1), most, uint64(n)))
}

// IsZero reports whether p is the default policy.
func (p LoadingPolicy) IsZero() bool { return p == LoadingPolicy{} }

// ParseConfig reads a configuration from JSON text, or, when text starts with
// "@", from the file named by the rest. Unknown keys are errors. The result is
// validated.
func ParseConfig(text string) (*Config, error) {
	from := "configuration"
	data := []byte(text)
	if name, ok := strings.CutPrefix(text, "@"); ok {
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
	if c.SpoolPermissions > 0o777 {
		faults = append(faults, fmt.Errorf("replication_spooling_dir_permissions: %d is more than 511 (octal 777); JSON has no octal numbers", c.SpoolPermissions))
	}
	if strings.ContainsAny(c.Hostname, "\x00\n") {
		faults = append(faults, errors.New("hostname: must be one line"))
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

// decodeStrict decodes one JSON value and nothing else, naming the line of a
// syntax error.
func decodeStrict(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		var syntax *json.SyntaxError
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("not JSON: it ends too early")
		case errors.As(err, &syntax):
			line := 1 + bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
			return fmt.Errorf("not JSON: line %d: %w", line, syntax)
		}
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("not JSON: something follows the object")
	}
	return nil
}
