package e2e

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boule-db/boule"
)

// What is shown as the requests of a database is all that the service was asked for it, also to look for the bucket.
func TestAllRequestsAreCounted(t *testing.T) {
	for _, layout := range []string{"log", "chunks"} {
		t.Run(layout, func(t *testing.T) {
			server, store, env := s3Service(t)
			db := filepath.Join(t.TempDir(), "app.db")
			for _, sql := range []string{
				`CREATE TABLE doc(a); INSERT INTO doc VALUES (randomblob(300000))`,
				`INSERT INTO doc VALUES (randomblob(300000))`,
				`DELETE FROM doc`,
			} {
				if status, _, stderr := program(t, env, "--store", store+"&layout="+layout, "shell", db, sql); status != 0 || stderr != "" {
					t.Fatalf("shell: %d %s", status, stderr)
				}
			}
			want := boule.Activity{}.Requests
			for _, r := range server.Requests() {
				switch {
				case r.Method == http.MethodGet && r.Query.Has("list-type"):
					want.List++
				case r.Method == http.MethodGet:
					want.Get++
				case r.Method == http.MethodHead:
					want.Head++
				case r.Method == http.MethodPut:
					want.Put++
				case r.Method == http.MethodDelete, r.Method == http.MethodPost:
					want.Delete++
				default:
					t.Errorf("request %+v", r)
				}
			}
			if want.List < 3 || want.Put < 3 {
				t.Errorf("the service had the requests %+v", want)
			}
			spool := strings.TrimPrefix(env[0], "BOULE_SPOOL=")
			cfg := &boule.Config{SpoolDir: spool, Hostname: "e2e.example.com", CacheDir: wasmCache}
			all, err := boule.Status(t.Context(), cfg, db)
			if err != nil || len(all) != 1 || len(all[0].Targets) != 1 || all[0].Targets[0].Activity == nil {
				t.Fatalf("status: %+v, %v", all, err)
			}
			if got := all[0].Targets[0].Requests; got != want {
				t.Errorf("counted %+v, the service had %+v", got, want)
			}
		})
	}
}
