package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/conformance/bench-peers/workload"
	"github.com/boule-db/boule/conformance/bench/report"
	"github.com/boule-db/boule/conformance/s3count"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/target"
)

const (
	bucket    = "bench"
	region    = "us-east-1"
	accessKey = "test"
	secretKey = "testsecret"
	hostname  = "bench" // under which Boule replicates
)

// The engines.
const (
	stock   = "SQLite, C"
	mattn   = "mattn/go-sqlite3"
	modernc = "modernc.org/sqlite"
	plain   = "go-sqlite3"
	ours    = "boule, no target"
)

// The replicators.
const (
	bouleS3    = "boule"
	litestream = "litestream"
)

// A bench is one run: programs that were built, and a store.
type bench struct {
	*report.Report
	work       string
	repo       string
	bin        map[string]string // programs, by engine
	boule      string            // the program boule
	litestream string            // the program litestream; empty if there is none
	proxy      *s3count.Proxy
	stop       []func() error
}

func newBench() *bench { return &bench{Report: report.New("peers"), bin: map[string]string{}} }

// prepare builds and starts what is measured. After an error nothing of it is left.
func (b *bench) prepare(ctx context.Context) (err error) {
	if b.work, err = os.MkdirTemp(*dir, "boule-peers-"); err != nil {
		return err
	}
	b.stop = append(b.stop, func() error { return os.RemoveAll(b.work) })
	if b.work, err = filepath.EvalSymlinks(b.work); err == nil {
		err = b.build(ctx)
	}
	if err == nil {
		err = b.serve(ctx)
	}
	if err != nil {
		return errors.Join(err, b.close())
	}
	if b.litestream, err = exec.LookPath("litestream"); err != nil {
		b.litestream = ""
		b.Note("no program litestream is on PATH: it was not measured")
	} else if out, err := output(exec.Command(b.litestream, "version")); err == nil {
		b.Title += ", Litestream " + strings.TrimSpace(out)
	}
	b.Note("14 to 17 (two writers, damage, crashes, outages) are tests, not measurements")
	return nil
}

// close undoes what prepare did, last things first.
func (b *bench) close() error {
	var errs []error
	for i := len(b.stop) - 1; i >= 0; i-- {
		errs = append(errs, b.stop[i]())
	}
	return errors.Join(errs...)
}

func (b *bench) sub(name string) (string, error) {
	sub := filepath.Join(b.work, name)
	return sub, os.MkdirAll(sub, 0o700)
}

// build builds the programs that are run, here and now, so that all have the same compilers.
func (b *bench) build(ctx context.Context) error {
	bin, err := b.sub("bin")
	if err != nil {
		return err
	}
	golang := func(dir, cgo string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
		return output(cmd)
	}
	// That of a package, not of a module: the latter is empty as long as it was not downloaded.
	dirOf := func(pkg string) (string, error) {
		out, err := golang("", "0", "list", "-f", "{{.Dir}}", pkg)
		return strings.TrimSpace(out), err
	}
	if b.repo, err = dirOf("github.com/boule-db/boule"); err != nil {
		return err
	}
	amalgamation, err := dirOf("github.com/mattn/go-sqlite3")
	if err != nil {
		return err
	}
	const self = "github.com/boule-db/boule/conformance/bench-peers/"
	for _, p := range []struct{ name, pkg, cgo, dir string }{
		{"mattn", self + "mattn", "1", ""},
		{"modernc", self + "modernc", "0", ""},
		{"ours", self + "ours", "0", ""},
		{"boule", "./cmd/boule", "0", b.repo},
	} {
		if _, err := golang(p.dir, p.cgo, "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(bin, p.name), p.pkg); err != nil {
			return err
		}
	}
	// The C source of SQLite is the one that mattn's module has, so that these two differ in nothing else.
	source := filepath.Join(bin, "sqlite3.h")
	header, err := os.ReadFile(filepath.Join(amalgamation, "sqlite3-binding.h"))
	if err == nil {
		err = os.WriteFile(source, header, 0o600)
	}
	if err != nil {
		return err
	}
	gcc := exec.CommandContext(ctx, "gcc", "-O2", "-w", "-DSQLITE_OMIT_LOAD_EXTENSION", "-I", bin, "-o", filepath.Join(bin, "stock"),
		filepath.Join(b.repo, "conformance", "bench-peers", "stock", "workload.c"), filepath.Join(amalgamation, "sqlite3-binding.c"), "-lpthread", "-lm")
	if _, err := output(gcc); err != nil {
		return err
	}
	b.boule = filepath.Join(bin, "boule")
	for engine, name := range map[string]string{stock: "stock", mattn: "mattn", modernc: "modernc", plain: "ours", ours: "ours", bouleS3: "ours"} {
		b.bin[engine] = filepath.Join(bin, name)
	}
	return nil
}

// serve starts the S3 server, unless there is one, and the proxy before it, and makes the bucket.
func (b *bench) serve(ctx context.Context) error {
	for k, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey, "AWS_SESSION_TOKEN": "", "AWS_REGION": region,
		"AWS_PROFILE": "", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CA_BUNDLE": "",
		"LITESTREAM_ACCESS_KEY_ID": accessKey, "LITESTREAM_SECRET_ACCESS_KEY": secretKey,
	} {
		if err := os.Setenv(k, v); err != nil {
			return err
		}
	}
	service := *server
	if service == "" {
		sub, err := b.sub("s3")
		if err != nil {
			return err
		}
		port, err := freePort()
		if err != nil {
			return err
		}
		script := filepath.Join(b.repo, ".ci", "servers", "versitygw.sh")
		out, err := output(exec.CommandContext(ctx, script, "start", sub, port))
		if err != nil {
			return err
		}
		b.stop = append(b.stop, func() error {
			_, err := output(exec.Command(script, "stop", sub))
			return err
		})
		service = strings.TrimSpace(out)
		b.Title += ", versitygw"
	}
	var err error
	if b.proxy, err = s3count.New(service); err != nil {
		return err
	}
	b.stop = append(b.stop, b.proxy.Close)
	stores, err := target.Open(ctx, target.Target{S3: &target.S3{Bucket: bucket, Region: region, Endpoint: service, CreateBucketsOnDemand: true}}, nil)
	if err != nil {
		return err
	}
	_, err = stores.Chunks.Put(ctx, "there", nil, store.Condition{})
	return err
}

// freePort is a port of loopback that nobody had just now.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

// storeURL is where Boule replicates to.
func (b *bench) storeURL(p place) string {
	q := url.Values{"region": {region}, "endpoint": {b.proxy.URL}}
	if p.layout != "" {
		q.Set("layout", p.layout)
	}
	return "s3://" + bucket + "/" + p.prefix + "?" + q.Encode()
}

// A place is a database that is replicated: by Boule with spool and store, or by Litestream.
type place struct {
	dir    string
	db     string
	prefix string // in the bucket
	layout string // of replicas of Boule's
}

// places counts them, so that no two have a prefix in common.
var places int

func (b *bench) place(dir string) (place, error) {
	places++
	p := place{dir: filepath.Join(dir, fmt.Sprint(places)), prefix: fmt.Sprintf("place%d", places)}
	p.db = filepath.Join(p.dir, "t.db")
	return p, os.MkdirAll(p.dir, 0o700)
}

func (p place) spool() string { return filepath.Join(p.dir, "spool") }

func (p place) ref() string { return boule.SourceRef(hostname, p.db) }

// env is what Boule's programs need to replicate a place.
func (b *bench) env(p place) []string {
	return []string{"BOULE_STORE=" + b.storeURL(p), "BOULE_SPOOL=" + p.spool(), "BOULE_HOSTNAME=" + hostname}
}

// A run is how it went with a program.
type ran struct {
	workload.Result
	rss float64 // MB, the most
}

// child runs a workload in a process of its own.
func (b *bench) child(ctx context.Context, engine string, a workload.Args, env ...string) (ran, error) {
	cmd := exec.CommandContext(ctx, b.bin[engine], a.List()...)
	cmd.Env = append(os.Environ(), env...)
	switch engine {
	case plain:
		cmd.Env = append(cmd.Env, "BENCH_ENGINE=plain")
	case ours:
		cmd.Env = append(cmd.Env, "BOULE_STORE=")
	}
	var r ran
	out, rss, err := measured(cmd)
	if err == nil {
		err = json.Unmarshal([]byte(out), &r.Result)
	}
	r.rss = rss
	if err != nil {
		return r, fmt.Errorf("%s, %v: %w", engine, a.List(), err)
	}
	return r, nil
}

// program runs the program boule.
func (b *bench) program(ctx context.Context, p place, args ...string) (rss float64, err error) {
	cmd := exec.CommandContext(ctx, b.boule, args...)
	cmd.Env = append(os.Environ(), b.env(p)...)
	_, rss, err = measured(cmd)
	return rss, err
}

// output is what a command prints; what it complains about is in the error.
func output(cmd *exec.Cmd) (string, error) {
	out, _, err := measured(cmd)
	return out, err
}

// measured is output with the most memory that the command used, in MB.
func measured(cmd *exec.Cmd) (string, float64, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", 0, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	return stdout.String(), peak(cmd), nil
}

// peak is the most memory that a process which has ended used, in MB.
func peak(cmd *exec.Cmd) float64 {
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		return float64(u.Maxrss) * 1024 / 1e6
	}
	return 0
}
