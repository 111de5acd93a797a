package boule_test

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/boule-db/boule"

// layers says what each package (with everything below it in the tree) is
// allowed to import of this module: only what stands in a lower layer.
// A package that is not listed fails the test: give it a layer.
var layers = []struct {
	layer int
	path  string
}{
	{0, "embed"},
	{0, "manifest"},
	{0, "store"},
	{0, "internal"},
	{1, "host"},
	{1, "spool"},
	{1, "remotelog"},
	{2, "replica"},
	{3, "tracker"},
	{3, "copier"},
	{3, "doctor"},
	{4, "wasmvfs"},
	{5, ""},
	{6, "cmd"},
	{6, "examples"},
	{6, "conformance"},
}

// fences name imports from outside that only some packages may make.
var fences = []struct {
	prefix string
	only   []string
}{
	{"github.com/tetratelabs/wazero", []string{"host", "conformance/sqlitewasm"}},
	{"github.com/aws/", []string{"store/s3"}},
	{"google.golang.org/protobuf", []string{"manifest", "remotelog", "internal/wire"}},
	{"github.com/spf13/", []string{"cmd"}},
	{"github.com/schollz/", []string{"cmd"}},
	{"github.com/peterh/", []string{"cmd"}},
	{"net/http", []string{"store", "cmd", "examples", "conformance"}},
}

// commitPath are the packages that run inside SQLite's commits. Nothing that
// they reach, however deep, may talk to a network or to a store.
var commitPath = []string{"wasmvfs", "tracker", "spool", "manifest", "internal/fsx", "internal/instance", "host"}

var offCommitPath = []string{
	"net/http", "crypto/tls", "github.com/aws/",
	module + "/store", module + "/copier", module + "/replica",
}

type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
	Deps       []string
}

func goList(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,GoFiles,Imports,Deps"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return pkgs
		}
		if err != nil {
			t.Fatalf("go list output: %v", err)
		}
		pkgs = append(pkgs, p)
	}
}

// within returns the path of an import relative to the module, and whether it
// belongs to the module.
func within(path string) (string, bool) {
	if path == module {
		return "", true
	}
	return strings.CutPrefix(path, module+"/")
}

func under(path, dir string) bool {
	return path == dir || dir != "" && strings.HasPrefix(path, dir+"/")
}

func layerOf(rel string) (int, string, bool) {
	for _, l := range layers {
		if under(rel, l.path) {
			return l.layer, l.path, true
		}
	}
	return 0, "", false
}

func TestLayersImportDownwardsOnly(t *testing.T) {
	for _, p := range goList(t, "./...") {
		rel, ok := within(p.ImportPath)
		if !ok {
			continue
		}
		layer, root, ok := layerOf(rel)
		if !ok {
			t.Errorf("package %s has no layer", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			other, ok := within(imp)
			if !ok {
				continue
			}
			l, r, known := layerOf(other)
			switch {
			case !known:
				t.Errorf("%s imports %s, which has no layer", rel, other)
			case root == r: // within one tree
			case layer == 6 && root != "cmd" && r == "conformance": // suites may use each other's helpers
			case l < layer:
			case l == 0 && layer == 0 && other == "internal/fsx" || l == 0 && layer == 0 && strings.HasPrefix(other, "internal/"):
			case l == 0 && layer == 0 && root == "internal":
			default:
				t.Errorf("%s (layer %d) imports %s (layer %d): layers import downwards only", rel, layer, other, l)
			}
		}
	}
}

func TestFences(t *testing.T) {
	for _, p := range goList(t, "./...") {
		rel, ok := within(p.ImportPath)
		if !ok {
			continue
		}
		for _, f := range fences {
			if slices.ContainsFunc(f.only, func(dir string) bool { return under(rel, dir) }) {
				continue
			}
			for _, imp := range p.Imports {
				if strings.HasPrefix(imp, f.prefix) {
					t.Errorf("%s imports %s, which only %v may", rel, imp, f.only)
				}
			}
		}
	}
}

func TestNoNetworkInTheCommitPath(t *testing.T) {
	var roots []string
	for _, dir := range commitPath {
		roots = append(roots, "./"+dir)
	}
	for _, p := range goList(t, roots...) {
		for _, dep := range p.Deps {
			for _, bad := range offCommitPath {
				if dep == bad || strings.HasPrefix(dep, bad+"/") || strings.HasSuffix(bad, "/") && strings.HasPrefix(dep, bad) {
					t.Errorf("%s reaches %s", p.ImportPath, dep)
				}
			}
		}
	}
}

func TestOnePackageCommentInDocGo(t *testing.T) {
	for _, p := range goList(t, "./...") {
		var with []string
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil {
				with = append(with, name)
			}
		}
		if len(p.GoFiles) == 0 {
			continue
		}
		if !slices.Equal(with, []string{"doc.go"}) {
			t.Errorf("%s: package comment in %v, want exactly one, in doc.go", p.ImportPath, with)
		}
	}
}
