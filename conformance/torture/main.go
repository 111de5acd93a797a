//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/conformance/storetest/fakes3"
	"github.com/boule-db/boule/store/target"
)

// room is how much must be free where a round works; what a round takes is a fraction of it.
const room = 1 << 30

var (
	duration = flag.Duration("duration", time.Minute, "how long to go on; the last round is brought to its end")
	seed     = flag.Uint64("seed", 0, "of all that is random (default: the time)")
	length   = flag.Duration("round", 15*time.Second, "how long the trouble of a round lasts")
	dir      = flag.String("dir", "", "where to work (default: /dev/shm and the temporary directory in turn)")
	layout   = flag.String("layout", "both", "of the stores: chunks, log, or both, which draws one for each store of each round")
	asJSON   = flag.Bool("json", false, "print the result as JSON")
)

func main() { os.Exit(realMain()) }

func realMain() int {
	if text := os.Getenv(envChild); text != "" {
		return childMain(text)
	}
	flag.Parse()
	if flag.NArg() > 0 || *duration <= 0 || *length <= 0 {
		fmt.Fprintln(os.Stderr, "torture: durations must be positive, and there are no arguments")
		return 2
	}
	switch *layout {
	case "both", string(target.LayoutChunks), string(target.LayoutLog):
	default:
		fmt.Fprintf(os.Stderr, "torture: --layout %s: it is chunks, log or both\n", *layout)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rep, err := torture(ctx)
	if *asJSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		err = errors.Join(err, enc.Encode(rep))
	} else {
		rep.print(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
	}
	if err != nil || len(rep.Divergences) > 0 {
		return 1
	}
	return 0
}

// torture runs rounds until the time is over or something diverges.
func torture(ctx context.Context) (*report, error) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	rep := newReport(*seed)
	if _, err := exec.LookPath("sqlite3"); err != nil {
		return rep, fmt.Errorf("the stock sqlite3 program is needed, as a writer and as a judge: %w", err)
	}
	if !*asJSON {
		fmt.Printf("torture: seed %d, for %v\n", *seed, *duration)
	}
	begin := time.Now()
	p := &progress{until: begin.Add(*duration)}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		p.w = os.Stderr
	}
	defer p.end()
	if err := environment(); err != nil {
		return rep, err
	}
	cache, err := warmCache()
	if err != nil {
		return rep, err
	}
	defer os.RemoveAll(cache)
	for n := 0; time.Now().Before(p.until) && ctx.Err() == nil; n++ {
		err := oneRound(ctx, rep, n, cache, min(*length, time.Until(p.until)), func(what string) { p.show(rep, what) })
		rep.Duration = time.Since(begin).Round(time.Second).String()
		if err != nil || len(rep.Divergences) > 0 {
			return rep, err
		}
		rep.Rounds++
	}
	return rep, ctx.Err()
}

// oneRound does the n-th round in a directory of its own, which stays if something diverges.
func oneRound(ctx context.Context, rep *report, n int, cache string, d time.Duration, show func(string)) error {
	rng := rand.New(rand.NewPCG(rep.Seed, uint64(n)))
	base, err := place(n)
	if err != nil {
		return err
	}
	r := &round{cache: cache, rng: rng, rep: rep, plan: newPlan(rng, target.Layout(strings.TrimPrefix(*layout, "both")))}
	if r.dir, err = os.MkdirTemp(base, "boule-torture-"); err != nil {
		return err
	}
	err = r.run1(ctx, d, show)
	if len(rep.Divergences) > 0 || err != nil && ctx.Err() == nil {
		rep.Evidence = r.dir
		return err
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}

// place is where the n-th round works.
func place(n int) (string, error) {
	base := *dir
	if base == "" {
		base = os.TempDir()
		if n%2 == 0 && free("/dev/shm") > room {
			base = "/dev/shm"
		}
	}
	if free(base) < room {
		return "", fmt.Errorf("%s has less than %d MiB free", base, room>>20)
	}
	return filepath.EvalSymlinks(base)
}

func free(dir string) int64 {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return 0
	}
	return int64(st.Bavail) * st.Bsize
}

// environment gives this process and its children the credentials of the fake service, and
// nobody's else.
func environment() error {
	for k, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": fakes3.AccessKey, "AWS_SECRET_ACCESS_KEY": fakes3.SecretKey, "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE": "", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "", "AWS_EC2_METADATA_DISABLED": "true", "BOULE_CONFIG": "",
	} {
		if err := os.Setenv(k, v); err != nil {
			return err
		}
	}
	return nil
}

// warmCache compiles SQLite once for all processes.
func warmCache() (string, error) {
	cache, err := os.MkdirTemp("", "boule-torture-wasm-")
	if err != nil {
		return "", err
	}
	db, err := boule.Open(context.Background(), ":memory:", &boule.Config{CacheDir: cache})
	if err == nil {
		err = db.Close()
	}
	return cache, err
}
