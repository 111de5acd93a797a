package boule_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

func TestParseConfig(t *testing.T) {
	dir := t.TempDir()
	text := `{
		"make_default": true,
		"tempdir": ` + quote(dir) + `,
		"replication_spooling_dir": "/spool",
		"replication_spooling_dir_permissions": 448,
		"replication_targets": [
			{"s3": {"region": "eu-west-1", "bucket": "b", "prefix": "app"}},
			{"file": {"directory": "/store"}}
		],
		"snapshot_loading_policy": {"partial": {"min": 2, "max": 4}},
		"hostname": "h"
	}`
	want := &boule.Config{
		MakeDefault: true, TempDir: dir, SpoolDir: "/spool", SpoolPermissions: 0o700, Hostname: "h",
		Targets: []target.Target{
			{S3: &target.S3{Region: "eu-west-1", Bucket: "b", Prefix: "app"}},
			{File: &target.File{Directory: "/store"}},
		},
		LoadingPolicy: boule.LoadingPolicy{Partial: true, Min: 2, Max: 4},
	}
	got, err := boule.ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// What is written is read again.
	b, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "boule.json")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err = boule.ParseConfig("@" + name); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("from its JSON in a file: -want +got:\n%s", diff)
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// Each wrong configuration gives one error, on one line, that names the thing.
func TestWrongConfigurations(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("{\n\"hostname\": }"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, text, want string }{
		{"empty object in nothing", " ", "ends too early"},
		{"cut off", `{"hostname":`, "ends too early"},
		{"null", `null`, "null"},
		{"an array", `[]`, "want an object"},
		{"two objects", `{} {}`, "something follows"},
		{"a bracket too many", `{}}`, "something follows"},
		{"syntax", "{\n\n!}", "line 3"},
		{"in a file", "@" + file, file + ": not JSON: line 2"},
		{"absent file", "@/no/such/file", "/no/such/file"},
		{"no file name", "@", "name of a file"},
		{"unknown key", `{"hostnam": "x"}`, `"hostnam"`},
		{"key twice", `{"hostname": "x", "hostname": "y"}`, "hostname: it is given twice"},
		{"key twice in another case", `{"hostname": "x", "Hostname": "y"}`, "Hostname: it is given twice"},
		{"key twice in a target", `{"replication_targets": [{"file": {"directory": "/a", "directory": "/b"}}]}`, "directory: it is given twice"},
		{"type", `{"hostname": 1}`, "hostname: it is a number; want a string"},
		{"type of targets", `{"replication_targets": {}}`, "replication_targets: it is a object; want an array"},
		{"octal permissions", `{"replication_spooling_dir_permissions": 0700}`, "not JSON"},
		{"permissions in a string", `{"replication_spooling_dir_permissions": "0700"}`, "replication_spooling_dir_permissions"},
		{"permissions in decimal digits of octal", `{"replication_spooling_dir_permissions": 700}`, "octal"},
		{"negative permissions", `{"replication_spooling_dir_permissions": -1}`, "replication_spooling_dir_permissions"},
		{"target of no kind", `{"replication_targets": [{}]}`, "exactly one"},
		{"target of two kinds", `{"replication_targets": [{"file": {"directory": "/a"}, "s3": {"bucket": "b"}}]}`, "exactly one"},
		{"unknown kind", `{"replication_targets": [{"ftp": {}}]}`, `"ftp"`},
		{"unknown key of a target", `{"replication_targets": [{"file": {"dir": "/a"}}]}`, `file.dir`},
		{"relative directory", `{"replication_targets": [{"file": {"directory": "a"}}]}`, "relative"},
		{"no bucket", `{"replication_targets": [{"s3": {}}]}`, "bucket is missing"},
		{"target twice", `{"replication_targets": [{"file": {"directory": "/a"}}, {"file": {"directory": "/a"}}]}`, "replication_targets[1]: file:///a is listed twice"},
		{"hostname of two lines", `{"hostname": "a\nb"}`, "hostname"},
		{"hostname with a slash", `{"hostname": "a/b"}`, "hostname"},
		{"absent tempdir", `{"tempdir": "/no/such/dir"}`, "tempdir"},
		{"tempdir that is a file", `{"tempdir": ` + quote(file) + `}`, "tempdir"},
		{"unknown policy", `{"snapshot_loading_policy": "lazy"}`, `snapshot_loading_policy: "lazy"`},
		{"policy of two", `{"snapshot_loading_policy": {"eager": null, "partial": {}}}`, "snapshot_loading_policy"},
		{"policy with a null", `{"snapshot_loading_policy": {"partial": null}}`, "snapshot_loading_policy"},
		{"policy with an unknown key", `{"snapshot_loading_policy": {"partial": {"most": 1}}}`, `"most"`},
		{"policy of a wrong order", `{"snapshot_loading_policy": {"partial": {"min": 5, "max": 4}}}`, "max 4 is less than min 5"},
		{"policy of none", `{"snapshot_loading_policy": {"partial": {"max": 0}}}`, "max must be at least 1"},
		{"negative policy", `{"snapshot_loading_policy": {"partial": {"min": -1}}}`, "snapshot_loading_policy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := boule.ParseConfig(tt.text)
			if err == nil {
				t.Fatal("no error")
			}
			if msg := err.Error(); !strings.Contains(msg, tt.want) || strings.Contains(msg, "\n") || !strings.HasPrefix(msg, "boule: ") {
				t.Errorf("got %q, want one line with %q", msg, tt.want)
			}
		})
	}
}

// What Go programs can get wrong besides is found where the configuration is used.
func TestWrongConfigurationsInGo(t *testing.T) {
	tests := []struct {
		name string
		cfg  boule.Config
		want string
	}{
		{"eager and partial", boule.Config{LoadingPolicy: boule.LoadingPolicy{Eager: true, Partial: true}}, "either eager or partial"},
		{"min without partial", boule.Config{LoadingPolicy: boule.LoadingPolicy{Min: 1}}, "partial only"},
		{"max below min", boule.Config{LoadingPolicy: boule.LoadingPolicy{Partial: true, Min: 3, Max: 2}}, "max 2"},
		{"empty target", boule.Config{Targets: []target.Target{{}}}, "replication_targets[0]"},
		{"permissions", boule.Config{SpoolPermissions: 0o1000}, "replication_spooling_dir_permissions"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for what, use := range map[string]func() error{
				"Validate":    tt.cfg.Validate,
				"New":         func() error { _, err := boule.New(&tt.cfg); return err },
				"Open":        func() error { _, err := boule.Open(t.Context(), ":memory:", &tt.cfg); return err },
				"OpenReplica": func() error { _, err := boule.OpenReplica(t.Context(), "boule://h/x", &tt.cfg); return err },
				"Fetch":       func() error { _, err := boule.Fetch(t.Context(), "boule://h/x", &tt.cfg); return err },
				"Status":      func() error { _, err := boule.Status(t.Context(), &tt.cfg); return err },
				"FlushSpool":  func() error { _, err := boule.FlushSpool(t.Context(), t.TempDir(), &tt.cfg); return err },
			} {
				if err := use(); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: got %v, want %q", what, err, tt.want)
				}
			}
		})
	}
}

func TestLoadingPolicyJSON(t *testing.T) {
	tests := []struct {
		text string
		want boule.LoadingPolicy
		back string
	}{
		{`"default"`, boule.LoadingPolicy{}, `"default"`},
		{`null`, boule.LoadingPolicy{}, `"default"`},
		{`"eager"`, boule.LoadingPolicy{Eager: true}, `"eager"`},
		{`{"eager": null}`, boule.LoadingPolicy{Eager: true}, `"eager"`},
		{`{"partial": {}}`, boule.LoadingPolicy{Partial: true}, `{"partial":{}}`},
		{`{"partial": {"min": 3}}`, boule.LoadingPolicy{Partial: true, Min: 3}, `{"partial":{"min":3}}`},
		{`{"partial": {"max": 3}}`, boule.LoadingPolicy{Partial: true, Max: 3}, `{"partial":{"max":3}}`},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got := boule.LoadingPolicy{Min: 9}
			if err := json.Unmarshal([]byte(tt.text), &got); err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if b, err := json.Marshal(got); err != nil || string(b) != tt.back {
				t.Errorf("written as %s (%v), want %s", b, err, tt.back)
			}
		})
	}
}

func TestLoadingPolicyFirst(t *testing.T) {
	tests := []struct {
		p       boule.LoadingPolicy
		n, want int
	}{
		{boule.LoadingPolicy{Partial: true}, 0, 0},
		{boule.LoadingPolicy{Partial: true}, 1, 1},
		{boule.LoadingPolicy{Partial: true}, 10, 4},
		{boule.LoadingPolicy{Partial: true}, 10000, 16},
		{boule.LoadingPolicy{Partial: true, Min: 20}, 10000, 20},
		{boule.LoadingPolicy{Partial: true, Min: 20}, 5, 5},
		{boule.LoadingPolicy{Partial: true, Max: 2}, 10000, 2},
	}
	for _, tt := range tests {
		if got := tt.p.First(tt.n); got != tt.want {
			t.Errorf("%+v of %d chunks: got %d, want %d", tt.p, tt.n, got, tt.want)
		}
	}
}

func TestConfigFromEnv(t *testing.T) {
	t.Setenv(boule.EnvConfig, "")
	if cfg, err := boule.ConfigFromEnv(); err != nil || len(cfg.Targets) != 0 {
		t.Errorf("empty: got %+v, %v", cfg, err)
	}
	t.Setenv(boule.EnvConfig, `{"hostname": "here"}`)
	if cfg, err := boule.ConfigFromEnv(); err != nil || cfg.Hostname != "here" {
		t.Errorf("set: got %+v, %v", cfg, err)
	}
	t.Setenv(boule.EnvConfig, `{"host": "here"}`)
	if _, err := boule.ConfigFromEnv(); err == nil || !strings.Contains(err.Error(), boule.EnvConfig) {
		t.Errorf("wrong: got %v, want an error that names %s", err, boule.EnvConfig)
	}
	for what, use := range map[string]func() error{
		"New":         func() error { _, err := boule.New(nil); return err },
		"Fetch":       func() error { _, err := boule.Fetch(t.Context(), "boule://h/x", nil); return err },
		"OpenReplica": func() error { _, err := boule.OpenReplica(t.Context(), "boule://h/x", nil); return err },
		"Status":      func() error { _, err := boule.Status(t.Context(), nil); return err },
		"FlushSpool":  func() error { _, err := boule.FlushSpool(t.Context(), t.TempDir(), nil); return err },
	} {
		if err := use(); err == nil || !strings.Contains(err.Error(), boule.EnvConfig) {
			t.Errorf("%s without a configuration: got %v, want the error of the environment", what, err)
		}
	}
}

func TestDefaultSpoolDir(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	t.Setenv("XDG_STATE_HOME", "/state")
	if got, err := boule.DefaultSpoolDir(); err != nil || got != "/state/boule/spool" {
		t.Errorf("got %q, %v", got, err)
	}
	t.Setenv("XDG_STATE_HOME", "relative") // which the specification says to ignore
	if got, err := boule.DefaultSpoolDir(); err != nil || got != "/home/me/.local/state/boule/spool" {
		t.Errorf("got %q, %v", got, err)
	}
	t.Setenv("HOME", "")
	if got, err := boule.DefaultSpoolDir(); err == nil {
		t.Errorf("without HOME: got %q, want an error", got)
	}
}
