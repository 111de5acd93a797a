package boule

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// LoadingPolicy says how much of a replica is fetched when it is opened. The
// zero value fetches on demand.
type LoadingPolicy struct {
	// Eager fetches and verifies every chunk at open.
	Eager bool
	// Partial fetches the first chunks and the last: at least Min (one, if
	// zero) and at most Max (16, if zero) of the square root of their number.
	Partial  bool
	Min, Max uint64
}

type partialPolicy struct {
	Min *uint64 `json:"min,omitempty"`
	Max *uint64 `json:"max,omitempty"`
}

// UnmarshalJSON reads "default", "eager", {"eager":null} or
// {"partial":{"min":…,"max":…}}.
func (p *LoadingPolicy) UnmarshalJSON(b []byte) error {
	*p = LoadingPolicy{}
	if string(b) == "null" { // by convention of encoding/json: as if it were not there
		return nil
	}
	var name string
	if json.Unmarshal(b, &name) == nil {
		switch name {
		case "default":
			return nil
		case "eager":
			p.Eager = true
			return nil
		}
		return fmt.Errorf("snapshot_loading_policy: %q is none of \"default\", \"eager\", {\"partial\":{…}}", name)
	}
	var form struct {
		Eager   json.RawMessage `json:"eager"`
		Partial *partialPolicy  `json:"partial"`
	}
	if err := decodeStrict(b, &form); err != nil {
		return fmt.Errorf("snapshot_loading_policy: %w", err)
	}
	switch {
	case form.Partial != nil && form.Eager == nil:
		p.Partial = true
		if form.Partial.Min != nil {
			p.Min = *form.Partial.Min
		}
		if form.Partial.Max != nil {
			if p.Max = *form.Partial.Max; p.Max == 0 {
				return errors.New("snapshot_loading_policy: max must be at least 1")
			}
		}
		return p.validate()
	case string(form.Eager) == "null" && form.Partial == nil:
		p.Eager = true
		return nil
	}
	return errors.New("snapshot_loading_policy: want \"default\", \"eager\" or {\"partial\":{\"min\":…,\"max\":…}}")
}

// MarshalJSON writes what [LoadingPolicy.UnmarshalJSON] reads.
func (p LoadingPolicy) MarshalJSON() ([]byte, error) {
	switch {
	case p.Eager:
		return []byte(`"eager"`), nil
	case p.Partial:
		form := partialPolicy{}
		if p.Min != 0 {
			form.Min = &p.Min
		}
		if p.Max != 0 {
			form.Max = &p.Max
		}
		return json.Marshal(map[string]partialPolicy{"partial": form})
	}
	return []byte(`"default"`), nil
}

// validate reports what is wrong with p.
func (p LoadingPolicy) validate() error {
	switch {
	case p.Eager && p.Partial:
		return errors.New("snapshot_loading_policy: it is either eager or partial")
	case !p.Partial && (p.Min != 0 || p.Max != 0):
		return errors.New("snapshot_loading_policy: min and max are for partial only")
	case p.Max != 0 && p.Max < p.Min:
		return fmt.Errorf("snapshot_loading_policy: max %d is less than min %d", p.Max, p.Min)
	}
	return nil
}

// first is how many of n chunks a partial policy fetches at open.
func (p LoadingPolicy) first(n int) int {
	most := p.Max
	if most == 0 {
		most = max(16, p.Min)
	}
	root := uint64(math.Ceil(math.Sqrt(float64(n))))
	return int(min(max(root, p.Min, 1), most, uint64(n)))
}

// IsZero reports whether p is the default policy.
func (p LoadingPolicy) IsZero() bool { return p == LoadingPolicy{} }
