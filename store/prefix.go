package store

import (
	"context"
	"fmt"
	"iter"
	"strings"
)

// WithPrefix returns the part of s under prefix as a store of its own. The
// prefix is put before each key as it is: it usually ends in a slash.
func WithPrefix(s Store, prefix string) Store {
	if prefix == "" {
		return s
	}
	return prefixed{s, prefix}
}

// KeyLimit returns the length of the longest key that s takes: MaxKey, less
// the prefixes that WithPrefix puts before it.
func KeyLimit(s Store) int {
	limit := MaxKey
	for {
		if p, ok := s.(prefixed); ok {
			limit -= len(p.prefix)
		}
		u, ok := s.(interface{ Unwrap() Store })
		if !ok {
			return limit
		}
		s = u.Unwrap()
	}
}

type prefixed struct {
	s      Store
	prefix string
}

var (
	_ Gater    = prefixed{}
	_ Preparer = prefixed{}
)

func (p prefixed) Unwrap() Store { return p.s }

func (p prefixed) String() string {
	base, query, ok := strings.Cut(p.s.String(), "?")
	if !strings.HasSuffix(base, "/") {
		base += "/"
	}
	base += p.prefix
	if ok {
		base += "?" + query
	}
	return base
}

func (p prefixed) Gate(gate Gate) (Store, bool) {
	g, ok := p.s.(Gater)
	if !ok {
		return p, false
	}
	s, ok := g.Gate(gate)
	return prefixed{s, p.prefix}, ok
}

func (p prefixed) Prepare(ctx context.Context, create bool) error {
	return Prepare(ctx, p.s, create)
}

func (p prefixed) key(key string) (string, error) {
	if err := CheckKey(key); err != nil {
		return "", err
	}
	full := p.prefix + key
	if err := CheckKey(full); err != nil {
		return "", fmt.Errorf("%w (with the prefix %q)", err, p.prefix)
	}
	return full, nil
}

func (p prefixed) info(info Info, err error) (Info, error) {
	info.Key = strings.TrimPrefix(info.Key, p.prefix)
	return info, err
}

func (p prefixed) Put(ctx context.Context, key string, body []byte, cond Condition) (Info, error) {
	full, err := p.key(key)
	if err != nil {
		return Info{}, fmt.Errorf("put: %w", err)
	}
	return p.info(p.s.Put(ctx, full, body, cond))
}

func (p prefixed) Get(ctx context.Context, key string, opts *GetOptions) (*Object, error) {
	full, err := p.key(key)
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	obj, err := p.s.Get(ctx, full, opts)
	if err != nil {
		return nil, err
	}
	obj.Key = key
	return obj, nil
}

func (p prefixed) Head(ctx context.Context, key string) (Info, error) {
	full, err := p.key(key)
	if err != nil {
		return Info{}, fmt.Errorf("head: %w", err)
	}
	return p.info(p.s.Head(ctx, full))
}

func (p prefixed) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return p.ListAfter(ctx, prefix, "")
}

// ListAfter is what the function ListAfter looks for.
func (p prefixed) ListAfter(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	if after != "" {
		after = p.prefix + after
	}
	return func(yield func(Info, error) bool) {
		for info, err := range ListAfter(ctx, p.s, p.prefix+prefix, after) {
			if err == nil && info.Key == p.prefix {
				continue // an object named like the prefix has no key in here
			}
			if !yield(p.info(info, err)) {
				return
			}
		}
	}
}

func (p prefixed) Delete(ctx context.Context, key string) error {
	full, err := p.key(key)
	if err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return p.s.Delete(ctx, full)
}

func (p prefixed) Touch(ctx context.Context, key string) (Info, error) {
	full, err := p.key(key)
	if err != nil {
		return Info{}, fmt.Errorf("touch: %w", err)
	}
	return p.info(p.s.Touch(ctx, full))
}
