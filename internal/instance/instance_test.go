package instance_test

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/boule-db/boule/internal/instance"
)

const uuid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"

func TestParse(t *testing.T) {
	for _, want := range []instance.ID{{0, uuid}, {1700000123, uuid}} {
		got, err := instance.Parse(want.String())
		if got != want || err != nil {
			t.Errorf("%s: got %v, %v", want, got, err)
		}
	}
	for name, s := range map[string]string{
		"empty":      "",
		"no uuid":    "1700000123",
		"no time":    "." + uuid,
		"sign":       "+1." + uuid,
		"negative":   "-1." + uuid,
		"zeros":      "01." + uuid,
		"huge":       "99999999999999999999." + uuid,
		"upper case": "1." + strings.ToUpper(uuid),
		"short":      "1." + uuid[1:],
		"long":       "1." + uuid + "0",
		"dashes":     "1." + strings.ReplaceAll(uuid, "-", "0"),
		"path":       "1./" + uuid[1:],
		"suffix":     "1." + uuid + "-v1",
	} {
		if got, err := instance.Parse(s); !errors.Is(err, instance.ErrSyntax) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

func TestBoot(t *testing.T) {
	id, err := instance.Boot()
	if !instance.Supported {
		if !errors.Is(err, instance.ErrUnsupported) {
			t.Fatalf("got %v, %v", id, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	again, err := instance.Parse(id.String())
	if again != id || err != nil {
		t.Errorf("got %v, %v, want %v", again, err, id)
	}
	second, err := instance.Boot()
	if second.UUID != id.UUID || err != nil {
		t.Errorf("a second look: got %v, %v, want %v", second, err, id)
	}
}

func TestBootTime(t *testing.T) {
	for name, stat := range map[string]string{
		"empty":   "",
		"absent":  "cpu 1 2 3\nctxt 5\n",
		"no time": "btime \n",
		"words":   "btime never\n",
		"inside":  "cpu btime 17\n",
	} {
		if got, err := instance.BootTime([]byte(stat)); !errors.Is(err, instance.ErrSyntax) {
			t.Errorf("%s: got %d, %v", name, got, err)
		}
	}
	if got, err := instance.BootTime([]byte("ctxt 1\nbtime 17")); got != 17 || err != nil {
		t.Errorf("last line: got %d, %v", got, err)
	}
}

func TestStartTick(t *testing.T) {
	const rest = " S 1 42 42 0 -1 4194304 5 6 7 8 9 10 11 12 20 0 1 0 987654321 14 15"
	for _, name := range []string{"boule", "a b", "a) R 1 2 (b", ")))", "(", ""} {
		got, err := instance.StartTick([]byte("42 (" + name + ")" + rest))
		if got != 987654321 || err != nil {
			t.Errorf("(%s): got %d, %v", name, got, err)
		}
	}
	for name, stat := range map[string]string{
		"empty":     "",
		"no name":   "42 boule S 1",
		"truncated": "42 (boule) S 1 42 42 0 -1 4194304 5 6 7 8 9 10 11 12 20 0 1 0",
		"words":     "42 (boule) S 1 42 42 0 -1 4194304 5 6 7 8 9 10 11 12 20 0 1 0 soon 14",
	} {
		if got, err := instance.StartTick([]byte(stat)); !errors.Is(err, instance.ErrSyntax) {
			t.Errorf("%s: got %d, %v", name, got, err)
		}
	}
}

func TestProcess(t *testing.T) {
	got := instance.Process()
	pid, birth, ok := strings.Cut(got, ".")
	if !ok || pid != strconv.Itoa(os.Getpid()) {
		t.Errorf("got %q", got)
	}
	if _, err := strconv.ParseUint(birth, 10, 32); err != nil {
		t.Errorf("got %q: %v", got, err)
	}
	if again := instance.Process(); again != got {
		t.Errorf("got %q, then %q", got, again)
	}
	if got, want := instance.FormatProcess(7, 1<<32-1), "7.4294967295"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHostname(t *testing.T) {
	got := instance.Hostname()
	if got == "" || !utf8.ValidString(got) || strings.TrimSpace(got) != got {
		t.Errorf("got %q", got)
	}
	for text, want := range map[string]string{
		"":                     "",
		"\n\n":                 "",
		"host.example\n":       "host.example",
		"host\nother\n":        "host",
		"# from a tool\n\nh\n": "h",
		"  h \r\n":             "h",
	} {
		if got := instance.FirstLine(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got, want := instance.CleanHostname(" a\xffb "), "a_b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
