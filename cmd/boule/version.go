package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/boule-db/boule"
)

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print versions: Boule, SQLite, wazero, and how SQLite runs",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v, err := boule.Version(a.cfg)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(v)
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintf(w, "boule\t%s\n", v.Boule)
			fmt.Fprintf(w, "sqlite_version\t%s\n", v.SQLite)
			fmt.Fprintf(w, "sqlite_source_id\t%s\n", v.SQLiteSourceID)
			fmt.Fprintf(w, "wazero\t%s\n", v.Wazero)
			fmt.Fprintf(w, "engine\t%s\n", v.Engine)
			fmt.Fprintf(w, "wasm sha256\t%s\n", v.WasmSHA256)
			fmt.Fprintf(w, "wasm cache\t%s %s\n", v.Cache, v.CacheReason)
			fmt.Fprintf(w, "go\t%s %s/%s\n", v.Go, v.OS, v.Arch)
			return w.Flush()
		},
	}
}
