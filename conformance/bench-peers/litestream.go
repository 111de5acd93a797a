package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/boule-db/boule/conformance/s3count"
)

// A sidecar is a litestream that replicates one database.
type sidecar struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	ended  chan error
}

// litestreamConfig writes what Litestream needs: bucket, path and endpoint, and everything else as by default.
func (b *bench) litestreamConfig(p place) (string, error) {
	name := filepath.Join(p.dir, "litestream.yml")
	return name, os.WriteFile(name, fmt.Appendf(nil, `dbs:
  - path: %s
    replica:
      type: s3
      bucket: %s
      path: %s
      region: %s
      endpoint: %s
      force-path-style: true
`, p.db, bucket, p.prefix, region, b.proxy.URL), 0o600)
}

// litestreamDir is litestreamConfig for all databases of a directory.
func (b *bench) litestreamDir(p place, dir string) (string, error) {
	name := filepath.Join(p.dir, "litestream.yml")
	return name, os.WriteFile(name, fmt.Appendf(nil, `dbs:
  - dir: %s
    pattern: "*.db"
    replica:
      type: s3
      bucket: %s
      path: %s
      region: %s
      endpoint: %s
      force-path-style: true
`, dir, bucket, p.prefix, region, b.proxy.URL), 0o600)
}

// replicate starts a litestream of one database.
func (b *bench) replicate(p place) (*sidecar, error) {
	config, err := b.litestreamConfig(p)
	if err != nil {
		return nil, err
	}
	return b.sidecar(config)
}

func (b *bench) sidecar(config string) (*sidecar, error) {
	s := &sidecar{cmd: exec.Command(b.litestream, "replicate", "-config", config), ended: make(chan error, 1)}
	s.cmd.Stdout, s.cmd.Stderr = &s.stderr, &s.stderr
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { s.ended <- s.cmd.Wait() }()
	return s, nil
}

// stop has it upload what is left, and returns the most memory that it used, in MB.
func (s *sidecar) stop() (float64, error) {
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		return 0, err
	}
	select {
	case err := <-s.ended:
		var status *exec.ExitError
		if err != nil && !errors.As(err, &status) {
			return 0, err
		}
		return peak(s.cmd), nil
	case <-time.After(time.Minute):
		return 0, errors.Join(errors.New("litestream does not end"), s.cmd.Process.Kill())
	}
}

// quiet waits until something was written and then nothing for a while, and returns when that began.
func (b *bench) quiet(ctx context.Context, s *sidecar, since s3count.Counts) (time.Time, error) {
	const calm = 5 * time.Second
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last, changed := since, time.Now()
	for began := time.Now(); time.Since(began) < 5*time.Minute; {
		select {
		case err := <-s.ended:
			return changed, fmt.Errorf("litestream ended: %w\n%s", err, s.stderr.String())
		case <-ctx.Done():
			return changed, ctx.Err()
		case <-tick.C:
		}
		now := b.proxy.Counts()
		if d := now.Minus(last); d.Up > 0 {
			last, changed = now, time.Now()
		}
		if last.Minus(since).Up > 0 && time.Since(changed) > calm {
			return changed, nil
		}
	}
	return changed, errors.New("litestream does not come to rest")
}
