package host

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/boule-db/boule/embed"
)

// More compilation workers than this would need too much memory (some 30 MB
// each, for a moment); two already take 0.6 of the time that one takes.
const maxWorkers = 4

// found is what came of looking into the cache.
type found struct{ state, dir, reason string }

// code is SQLite as machine code, which go-sqlite3 finds in the memory of cache
// while that is open.
type code struct {
	cache     wazero.CompilationCache
	runtime   wazero.Runtime // nil if it was not tried out
	unwritten error          // why it is not on disk
}

// close leaves the machine code to those who use it by now.
func (c *code) close() {
	if c.runtime != nil {
		_ = c.runtime.Close(context.Background())
	}
}

// compile makes the machine code, or gets it from the cache. No code means that
// go-sqlite3 must try by itself, and tell what is wrong.
func compile(cfg wazero.RuntimeConfig, opts Options) (*code, found) {
	if opts.CacheDir == CacheOff {
		c, _ := tryOut(cfg, "")
		return c, found{state: CacheOff, reason: "switched off"}
	}
	off := func(err error) (*code, found) {
		opts.Logger.Warn("no compilation cache: sqlite starts slowly", "error", err)
		c, _ := tryOut(cfg, "")
		return c, found{state: CacheOff, reason: err.Error()}
	}
	dir, err := openCache(opts.CacheDir)
	if err != nil {
		return off(err)
	}
	state, reason := CacheMiss, ""
	known, damage, err := dir.check()
	if err != nil {
		return off(err)
	}
	if damage == nil && len(known) == 0 {
		if err := dir.writable(); err != nil {
			return off(err)
		}
	}
	if damage == nil && len(known) > 0 && dir.proven() {
		if cache, err := wazero.NewCompilationCacheWithDir(dir.path); err == nil {
			return &code{cache: cache}, found{state: CacheHit, dir: dir.path}
		}
	}
	c, err := tryOut(cfg, dir.path)
	if err != nil {
		damage = errors.Join(damage, err)
		if err := dir.clear(); err != nil {
			return off(errors.Join(damage, err))
		}
		known = nil
		if c, err = tryOut(cfg, dir.path); err != nil {
			return off(errors.Join(damage, err))
		}
	}
	if damage != nil {
		state, reason = CacheHealed, damage.Error()
		opts.Logger.Warn("compilation cache healed", "dir", dir.path, "error", damage)
	}
	if c.unwritten != nil {
		opts.Logger.Warn("compilation cache not written", "dir", dir.path, "error", c.unwritten)
		return c, found{state: CacheOff, reason: c.unwritten.Error()}
	}
	added, err := dir.seal(known)
	switch {
	case err != nil:
		opts.Logger.Warn("compilation cache not written", "dir", dir.path, "error", err)
		return c, found{state: CacheOff, reason: err.Error()}
	case !added && len(known) > 0 && damage == nil:
		state = CacheHit
		dir.prove()
	}
	return c, found{state: state, dir: dir.path, reason: reason}
}

// tryOut compiles SQLite in a runtime of its own. Where wazero has a fault with
// its cache, an error or a panic, it is here that it shows, and not in
// go-sqlite3, which initialises once or never. An empty dir keeps the machine
// code in memory only.
func tryOut(cfg wazero.RuntimeConfig, dir string) (_ *code, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("host: compile SQLite: panic: %v", p)
		}
	}()
	cache := wazero.NewCompilationCache()
	if dir != "" {
		if cache, err = wazero.NewCompilationCacheWithDir(dir); err != nil {
			return nil, fmt.Errorf("host: open compilation cache: %w", err)
		}
	}
	workers := min(runtime.GOMAXPROCS(0), maxWorkers)
	ctx := experimental.WithCompilationWorkers(context.Background(), workers)
	c := &code{cache: cache, runtime: wazero.NewRuntimeWithConfig(ctx, cfg.WithCompilationCache(cache))}
	if _, err = c.runtime.CompileModule(ctx, embed.Wasm()); err == nil {
		return c, nil
	}
	if dir != "" {
		// When only the writing of the entry has failed, the machine code is in
		// memory nevertheless.
		if _, again := c.runtime.CompileModule(ctx, embed.Wasm()); again == nil {
			c.unwritten = fmt.Errorf("host: write compilation cache: %w", err)
			return c, nil
		}
	}
	c.close()
	_ = cache.Close(ctx)
	return nil, fmt.Errorf("host: compile SQLite: %w", err)
}
