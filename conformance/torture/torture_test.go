//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
)

// database makes a file with the stock program, and says its state.
func database(t *testing.T, sql ...string) (name string, s state) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "t.db")
	rng := rand.New(rand.NewPCG(1, 2))
	all := `PRAGMA page_size=512; BEGIN; ` + schema(1, 2) + insert(rng, "main", 3000, 100) + bump(rng, "main") +
		change(rng, "main", 50, 3000) + remove(rng, "main", 700) + bump(rng, "main") + `COMMIT;` + strings.Join(sql, ";")
	if out, err := exec.Command("sqlite3", "-batch", "-bail", name, all).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s, err := soundState(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return name, s
}

func needsStock(t *testing.T) bool {
	_, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Log("no stock sqlite3 on the PATH: there is no judge")
	}
	return err == nil
}

// stored puts a database into a directory of a store's layout and returns its upload.
func stored(t *testing.T, name string) (dir string, u upload) {
	t.Helper()
	body, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "chunks"), 0o700); err != nil {
		t.Fatal(err)
	}
	m := &manifest.Manifest{Header: manifest.HeaderSum(body[:manifest.HeaderSize]), Sequence: 1, Size: int64(len(body)), Generator: "test", Writer: "test"}
	for off := 0; off < len(body); off += manifest.ChunkSize {
		chunk := body[off:min(off+manifest.ChunkSize, len(body))]
		f := manifest.Sum(chunk)
		m.Chunks = append(m.Chunks, f)
		if off == 0 {
			m.First = chunk
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, "chunks", f.ChunkName()), manifest.Compress(chunk), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	encoded, err := manifest.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	u = upload{store: "file", name: "m", file: filepath.Join(dir, "manifest")}
	if err := os.WriteFile(u.file, encoded, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, u
}

func judgement(t *testing.T, k *knowledge, dir string, u upload) (*report, []string) {
	t.Helper()
	sources, err := source(dir)
	if err != nil {
		t.Fatal(err)
	}
	j := &judge{
		k: k, scratch: t.TempDir(), rep: newReport(1), done: map[judged]error{},
		sources: map[string][]replica.Source{"file": sources},
	}
	return j.rep, j.all(context.Background(), []upload{u})
}

// The judge finds what it is there to find.
func TestJudge(t *testing.T) {
	if !needsStock(t) {
		return
	}
	name, s := database(t)
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p, err := fingerprint(f, fi.Size())
	if err != nil {
		t.Fatal(err)
	}
	line := func(kind, more string) string { return fmt.Sprintf("%s %s %s .", kind, fields(s), more) }
	sampleLine := line("B", p.header+" "+p.whole+" "+p.live)
	for _, tc := range []struct {
		name  string
		lines []string
		harm  func(t *testing.T, dir string, u *upload)
		want  string // empty: all is well
	}{
		{name: "seen", lines: []string{line("S", "read"), sampleLine}},
		{name: "not seen", want: "nobody has seen"},
		{name: "rolled back", lines: []string{line("R", "DELETE/rollback")}, want: "was rolled back"},
		{name: "line cut off", lines: []string{"S " + fields(s) + " read"}, want: "nobody has seen"},
		{name: "other bytes", lines: []string{line("S", "read"), line("B", p.header+" "+p.whole+" 0123456789abcdef")}, want: "not those that a reader saw"},
		{
			name: "chunk gone", lines: []string{line("S", "read")}, want: "chunk",
			harm: func(t *testing.T, dir string, _ *upload) {
				all, err := filepath.Glob(filepath.Join(dir, "chunks", "*"))
				if err != nil || len(all) == 0 {
					t.Fatal(all, err)
				}
				if err := os.Remove(all[0]); err != nil {
					t.Fatal(err)
				}
			},
		},
		{
			name: "uploaded too early", lines: []string{line("S", "read")}, want: "before its chunk",
			harm: func(_ *testing.T, _ string, u *upload) { u.absent = "0" },
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := newKnowledge()
			for _, l := range tc.lines {
				k.add("test", l)
			}
			dir, u := stored(t, name)
			if tc.harm != nil {
				tc.harm(t, dir, &u)
			}
			rep, wrong := judgement(t, k, dir, u)
			if tc.want == "" {
				if len(wrong) > 0 || rep.Verified != 1 || rep.Compared != 1 || rep.Identical != 1 {
					t.Errorf("got %v, %+v", wrong, rep)
				}
				return
			}
			if len(wrong) != 1 || !strings.Contains(wrong[0], tc.want) || rep.Verified != 0 {
				t.Errorf("got %v, want %q", wrong, tc.want)
			}
		})
	}
}

// A mixture of two states contradicts itself, though each page of it is sound.
func TestMixtureIsNoState(t *testing.T) {
	if !needsStock(t) {
		return
	}
	for what, sql := range map[string]string{
		"stamp": `UPDATE stamp SET sum=sum+1`,
		"text":  `DROP TRIGGER t_au; UPDATE t SET body=substr(body,2)||'x' WHERE id=(SELECT min(id) FROM t WHERE length(body)>20); CREATE TRIGGER t_au AFTER UPDATE OF tag, body ON t BEGIN SELECT 1; END`,
	} {
		t.Run(what, func(t *testing.T) {
			name, _ := database(t)
			if out, err := exec.Command("sqlite3", "-batch", "-bail", name, sql).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if s, err := soundState(t.Context(), name); err == nil || !strings.Contains(err.Error(), "no state of one moment") {
				t.Errorf("got %v, %v", s, err)
			}
		})
	}
}

// What free pages hold is left out of live, and nothing else is.
func TestFingerprintFreePages(t *testing.T) {
	if !needsStock(t) {
		return
	}
	name, _ := database(t, `DELETE FROM t WHERE id > 100`)
	print := func() prints {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fi, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		p, err := fingerprint(f, fi.Size())
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	poke := func(page int64) {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte("poked"), (page-1)*512+300); err != nil {
			t.Fatal(err)
		}
	}
	before := print()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	header := make([]byte, headerSize)
	if _, err := f.ReadAt(header, 0); err != nil {
		t.Fatal(err)
	}
	free, err := freeLeaves(f, 512, uint32(header[32])<<24|uint32(header[33])<<16|uint32(header[34])<<8|uint32(header[35]))
	if err != nil || len(free) == 0 {
		t.Fatalf("%d free leaves, %v", len(free), err)
	}
	for page := range free {
		poke(int64(page))
		break
	}
	after := print()
	if after.whole == before.whole || after.live != before.live || after.header != before.header {
		t.Errorf("a free page changed: %+v became %+v", before, after)
	}
	poke(2)
	if again := print(); again.live == after.live {
		t.Errorf("page 2 changed: live is still %s", again.live)
	}
}

// What SQLite itself does not survive is in no plan, and all else is in some.
func TestLeftJournal(t *testing.T) {
	db := filepath.Join(t.TempDir(), "a.db")
	for _, c := range []struct {
		name    string
		journal []byte // nil: none
		want    bool
	}{
		{"none", nil, false},
		{"truncated", []byte{}, false},
		{"persistent", make([]byte, 512), false},
		{"left", []byte{0xd9, 0xd5, 0x05, 0xf9}, true},
	} {
		if c.journal != nil {
			if err := os.WriteFile(db+"-journal", c.journal, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := leftJournal(db); err != nil || got != c.want {
			t.Errorf("%s: got %v, %v", c.name, got, err)
		}
	}
}

func TestPlans(t *testing.T) {
	var moves, unjournaled, wal, spares int
	for seed := range uint64(1000) {
		p := newPlan(rand.New(rand.NewPCG(seed, 1)), "")
		none, off := false, false
		for _, modes := range p.modes {
			for _, mode := range modes {
				off = off || mode == "OFF"
				none = none || off || mode == "MEMORY"
			}
		}
		if (off || none && p.wal) && !p.spares {
			t.Fatalf("seed %d: processes are killed beside writers that do not look for their journals", seed)
		}
		if p.moves && (none || p.wal) {
			t.Fatalf("seed %d: databases are renamed beside writers that do not notice", seed)
		}
		count := func(n *int, yes bool) {
			if yes {
				*n++
			}
		}
		count(&moves, p.moves)
		count(&unjournaled, none)
		count(&wal, p.wal)
		count(&spares, p.spares)
	}
	if moves < 100 || unjournaled < 100 || wal < 100 || spares < 50 || spares > 300 {
		t.Errorf("of 1000 plans %d rename, %d write without a journal, %d use WAL, %d spare all", moves, unjournaled, wal, spares)
	}
}
