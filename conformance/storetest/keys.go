package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/boule-db/boule/store"
)

// keyZoo are keys, by the name of the check, that have to survive.
var keyZoo = []struct{ name, key string }{
	{"chunk", "chunks/0123456789abcdef%2Ffedcba9876543210"},
	{"manifest", "manifests/7cb1-boule%3Atest.com%3A80ad%2F%2Ftmp%2Ftest.db"},
	{"percent-2F", "%2F"},
	{"percent-252F", "%252F"},
	{"percent-zz", "%zz%"},
	{"punctuation", "!*'()"},
	{"more-punctuation", "@,;$~:&=?#+[]{}|^`<>"},
	{"space", " a b "},
	{"plus", "a+b"},
	{"quote", `"quoted"`},
	{"backslash", `a\b`},
	{"unicode", "Käse/日本語/🧀"},
	{"combining", "e\u0301"},
	{"composed", "\u00e9"},
	{"case-upper", "Case"},
	{"case-lower", "case"},
	{"control", "tab\tnewline\nbell\x07"},
	{"hidden", ".hidden/.gitignore"},
	{"dot-dot-names", "...//..a/a.."},
	{"dot", "./x/."},
	{"dot-dot", "x/../y"},
	{"double-slash", "a//b"},
	{"leading-slash", "/lead"},
	{"trailing-slash", "trail/"},
	{"slashes", "///"},
	{"device", "CON/nul.txt/a. /b."},
	{"segment-255", strings.Repeat("s", 255)},
	{"segment-300", strings.Repeat("s", 300) + "/x"},
	{"tilde", "~7e/~_/~o/~+"},
}

func keyChecks() []check {
	var out []check
	for _, z := range keyZoo {
		out = append(out, check{"Key/" + z.name, func(ctx context.Context, p *probe) error {
			return keySurvives(ctx, p, p.key(z.key))
		}})
	}
	return append(out,
		check{"Key/at-the-start", func(ctx context.Context, p *probe) error {
			// Not below a prefix, where servers may treat it differently.
			return keySurvives(ctx, p, strings.TrimSuffix(p.prefix, "/")+"%2F!*'().~")
		}},
		check{"Key/longest", func(ctx context.Context, p *probe) error {
			n := store.KeyLimit(p.s) - len(p.prefix)
			return keySurvives(ctx, p, p.key(strings.Repeat("0123456789abcdef%2Ffedcba9876543210/", 40)[:n-1]+"e"))
		}},
		check{"Key/longest-segment", func(ctx context.Context, p *probe) error {
			n := store.KeyLimit(p.s) - len(p.prefix)
			return keySurvives(ctx, p, p.key(strings.Repeat("~x", 520)[:n]))
		}},
		check{"Key/distinct", func(ctx context.Context, p *probe) error {
			return together(ctx, p, "a%2Fb", "a%2fb", "a%252Fb", "a/b", "a+b", "a b", "a%20b", "A/B")
		}},
		check{"Key/object-and-prefix", func(ctx context.Context, p *probe) error {
			return together(ctx, p, "a", "a/b", "a/b/c", "a/b/d")
		}},
		check{"Key/prefix-and-object", func(ctx context.Context, p *probe) error {
			return together(ctx, p, "a/b/c", "a/b", "a", "a/d")
		}},
		check{"Key/object-and-slashes", func(ctx context.Context, p *probe) error {
			return together(ctx, p, "a", "a/", "a//", "a//b", "/", "//")
		}},
		check{"Key/long-neighbours", func(ctx context.Context, p *probe) error {
			l := strings.Repeat("l", 239)
			return together(ctx, p, l, l+"l", l+"ll", l+"ll/x", l+"l/x", l+"~", l+"m", l+"l!", l+strings.Repeat("l", 241), l+strings.Repeat("~", 100))
		}},
	)
}

// keySurvives takes an object through its whole life.
func keySurvives(ctx context.Context, p *probe, key string) error {
	if err := p.must(ctx, key); err != nil {
		return err
	}
	body := "body of " + key
	if err := p.same(ctx, key, body); err != nil {
		return err
	}
	if _, err := p.s.Head(ctx, key); err != nil {
		return err
	}
	if _, err := p.s.Touch(ctx, key); err != nil {
		return err
	}
	infos, err := collect(p.s.List(ctx, p.prefix[:len(p.prefix)-1]), 0)
	if err != nil {
		return err
	}
	if len(infos) != 1 || infos[0].Key != key {
		return fmt.Errorf("list yields %v, want only %q", infos, key)
	}
	if err := p.s.Delete(ctx, key); err != nil {
		return err
	}
	return p.absent(ctx, key)
}

// together puts objects whose keys a store might confuse, one after the other,
// and deletes them again in the same order.
func together(ctx context.Context, p *probe, names ...string) error {
	for i, name := range names {
		if err := p.must(ctx, p.key(name)); err != nil {
			return fmt.Errorf("with %d others: %w", i, err)
		}
		for _, other := range names[:i+1] {
			if err := p.same(ctx, p.key(other), "body of "+p.key(other)); err != nil {
				return fmt.Errorf("after the put of %q: %w", name, err)
			}
		}
	}
	var errs []error
	for i, name := range names {
		if err := p.listed(ctx, "", slices.Sorted(slices.Values(names[i:]))...); err != nil {
			return err
		}
		if err := p.s.Delete(ctx, p.key(name)); err != nil {
			return err
		}
		errs = append(errs, p.absent(ctx, p.key(name)))
	}
	return errors.Join(append(errs, p.listed(ctx, ""))...)
}
