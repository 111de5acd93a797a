package recent_test

import (
	"testing"

	"github.com/boule-db/boule/internal/recent"
)

func TestValues(t *testing.T) {
	v := recent.New[int, string](3)
	if _, ok := v.Get(1); ok {
		t.Error("found in nothing")
	}
	v.Add(1, "one")
	v.Add(2, "two")
	v.Add(3, "three")
	v.Add(2, "another two")
	if got, ok := v.Get(1); !ok || got != "one" {
		t.Errorf("1 is %q, %v", got, ok)
	}
	v.Add(4, "four") // 2 was not used for longest: adding it again was no use of it
	for key, want := range map[int]string{1: "one", 2: "", 3: "three", 4: "four"} {
		if got, ok := v.Get(key); got != want || ok != (want != "") {
			t.Errorf("%d is %q, %v; want %q", key, got, ok, want)
		}
	}
}
