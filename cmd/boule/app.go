package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

// app carries the global flags and streams to the commands.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	configText, storeURL, spoolDir, hostname, logLevel string
	json                                               bool

	cfg *boule.Config
	log *slog.Logger
}

// setup makes the configuration from flags and environment, flags first.
func (a *app) setup(cmd *cobra.Command) error {
	if !cmd.Flags().Changed("log-level") && cmd.Name() != "shell" {
		a.logLevel = "error" // these commands report what goes wrong themselves
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
		return fmt.Errorf("--log-level %q: want debug, info, warn or error", a.logLevel)
	}
	a.log = slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level}))

	var err error
	if a.configText != "" {
		a.cfg, err = boule.ParseConfig(a.configText)
	} else {
		a.cfg, err = boule.ConfigFromEnv()
	}
	if err != nil {
		return err
	}
	a.cfg.Logger = a.log
	if url := firstOf(a.storeURL, os.Getenv("BOULE_STORE")); url != "" {
		t, err := target.FromURL(url)
		if err != nil {
			return fmt.Errorf("--store: %w", err)
		}
		a.cfg.Targets = append([]target.Target{t}, caches(a.cfg.Targets)...)
	}
	if dir := firstOf(a.spoolDir, os.Getenv("BOULE_SPOOL")); dir != "" {
		if a.cfg.SpoolDir, err = filepath.Abs(dir); err != nil {
			return fmt.Errorf("--spool: %w", err)
		}
	}
	if host := firstOf(a.hostname, os.Getenv("BOULE_HOSTNAME")); host != "" {
		a.cfg.Hostname = host
	}
	a.cfg.DrainTimeout = -1 // the commands wait themselves, and say so
	a.cfg.CacheDir = os.Getenv("BOULE_CACHE_DIR")
	return a.cfg.Validate()
}

// caches are the targets of a configuration that hold no replicas.
func caches(ts []target.Target) []target.Target {
	var cs []target.Target
	for _, t := range ts {
		if t.Local != nil || t.ReadOnly != nil {
			cs = append(cs, t)
		}
	}
	return cs
}

// done closes a Replicator at once: commands that have something to upload have
// waited for it before, as long as they were told to.
func (a *app) done(r *boule.Replicator) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Close(ctx); err != nil {
		a.log.Debug("left for later", "error", err)
	}
}

// needStore is the error of a command that is useless without a store.
func (a *app) needStore() error {
	if len(caches(a.cfg.Targets)) == len(a.cfg.Targets) {
		return usage(errors.New("no store: give --store URL, or replication_targets in --config"))
	}
	return nil
}

func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func firstOf(ss ...string) string {
	for _, s := range ss {
		if s != "" {
			return s
		}
	}
	return ""
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
