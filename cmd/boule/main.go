package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/boule-db/boule"
)

// Exit statuses, as documented by --help.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes one command line and returns the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A reader that has seen enough (| head) must not keep a shell from uploading.
	signal.Ignore(syscall.SIGPIPE)

	app := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := newRoot(app)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var quiet *quietError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &quiet): // already told
	case errors.Is(err, syscall.EPIPE): // nobody is left to be told
		return exitOK
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(stderr, "boule: interrupted")
	default:
		fmt.Fprintf(stderr, "boule: %s\n", message(err))
	}
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

const hintTakeover = "; 'boule takeover' moves the replica to this database"

// message is err in one line, without the prefix that run prints anyway.
func message(err error) string {
	msg := strings.TrimPrefix(err.Error(), "boule: ")
	switch {
	case errors.Is(err, boule.ErrFenced):
		msg += hintTakeover
	case errors.Is(err, boule.ErrNoEntry):
		msg += "; 'boule history' lists those that there are"
	case errors.Is(err, boule.ErrNoReplica):
		msg += "; are the store, the path and --hostname those of the database?"
	}
	return oneLine(strings.ReplaceAll(msg, ": boule: ", ": "))
}

// oneLine joins lines and shortens space.
func oneLine(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(s, "\n", "; ")), " ")
}

// A usageError is the caller's mistake: exit status 2.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{err}
}

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// A quietError has been reported already.
type quietError struct{ err error }

func (e *quietError) Error() string { return e.err.Error() }
func (e *quietError) Unwrap() error { return e.err }

const longHelp = `Boule replicates SQLite databases to S3-compatible stores.

Where to: --store (or BOULE_STORE) names one store,
  file:///absolute/directory
  s3://bucket/prefix?region=R&endpoint=URL&path_style=1
or --config (or BOULE_CONFIG) gives JSON, or @ and the name of a JSON file.
Credentials come from the AWS environment, files and metadata services.

Exit status: 0 done, 1 failed, 2 wrong arguments or configuration.`

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "boule",
		Short:         "Replicate SQLite databases to S3-compatible stores",
		Long:          longHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q; see 'boule --help'", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmd.Help(); err != nil {
				return err
			}
			return usagef("name a command")
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return usage(a.setup(cmd)) },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	flags := root.PersistentFlags()
	flags.StringVar(&a.configText, "config", "", "configuration: JSON, or @FILE (default $BOULE_CONFIG)")
	flags.StringVar(&a.storeURL, "store", "", "replicate to this one store: a file:// or s3:// URL (default $BOULE_STORE)")
	flags.StringVar(&a.spoolDir, "spool", "", "spool directory (default $BOULE_SPOOL, else boule/spool in the state directory)")
	flags.StringVar(&a.hostname, "hostname", "", "name of the host in manifest names (default $BOULE_HOSTNAME, else this host's)")
	flags.StringVar(&a.logLevel, "log-level", "warn", "debug, info, warn or error; logs go to stderr (default warn for shell, error for the others)")
	flags.BoolVar(&a.json, "json", false, "print results as JSON")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; see '%s --help'", err, cmd.CommandPath())
	})
	root.AddCommand(
		newShell(a), newSync(a), newFlush(a), newRestore(a), newHistory(a), newCheck(a), newCopy(a), newCost(a), newTakeover(a), newPrune(a),
		newManifest(a), newManifestName(a), newStatus(a), newDoctor(a), newVersion(a), newDemo(a), newDemoWriter(a),
	)
	for _, cmd := range root.Commands() {
		if args := cmd.Args; args != nil {
			cmd.Args = func(cmd *cobra.Command, s []string) error {
				if err := args(cmd, s); err != nil {
					return usagef("%w; usage: %s", err, cmd.UseLine())
				}
				return nil
			}
		}
	}
	return root
}
