package boule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// decodeStrict decodes one JSON value, not null, and nothing else: without
// unknown keys, and without keys that are given twice, of which one would be
// ignored silently. It names the line of a syntax error.
func decodeStrict(data []byte, v any) error {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // some editors begin files with it
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		return errors.New("it is null; leave it out instead")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return explain(err, data)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("not JSON: something follows the object")
	}
	return onlyOnce(json.NewDecoder(bytes.NewReader(data)), "")
}

// explain makes an error of encoding/json one about the configuration.
func explain(err error, data []byte) error {
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("not JSON: it ends too early")
	case errors.As(err, &syntax):
		line := 1 + bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
		return fmt.Errorf("not JSON: line %d: %w", line, syntax)
	case errors.As(err, &mismatch) && mismatch.Field != "":
		return fmt.Errorf("%s: it is a %s; want %s", mismatch.Field, mismatch.Value, article(mismatch.Type))
	case errors.As(err, &mismatch):
		return fmt.Errorf("it is a %s; want %s", mismatch.Value, article(mismatch.Type))
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

// article names the JSON value that a Go type is made of.
func article(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "an array"
	case reflect.Uint32, reflect.Uint64:
		return "a number from 0"
	}
	return "an object"
}

// onlyOnce checks the next value, which is known to be JSON, for keys that are
// given twice in one object. path leads to it.
func onlyOnce(dec *json.Decoder, path string) error {
	open, err := dec.Token()
	if err != nil {
		return err
	}
	delim, nested := open.(json.Delim)
	if !nested {
		return nil
	}
	seen := map[string]bool{}
	for dec.More() {
		inner := path
		if delim == '{' {
			key, err := dec.Token()
			if err != nil {
				return err
			}
			name := fmt.Sprint(key)
			inner = strings.TrimPrefix(path+"."+name, ".")
			// encoding/json takes keys in any case, so they are the same in any.
			if folded := strings.ToLower(name); seen[folded] {
				return fmt.Errorf("%s: it is given twice", inner)
			} else {
				seen[folded] = true
			}
		}
		if err := onlyOnce(dec, inner); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}
