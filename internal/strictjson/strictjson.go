// Package strictjson reads JSON that a stranger sent. It refuses what a
// lenient reader would let two readers understand differently: members twice
// in an object, member names in another case, anything behind the value,
// invalid UTF-8, and nesting without end.
package strictjson

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
)

// MaxDepth is how deep arrays and objects may be nested.
const MaxDepth = 16

// Unmarshal decodes one JSON value into v, as encoding/json does but for the
// strictness. Members that v has no field for are ignored, as ACME asks
// (RFC 8555 §7.1), though they too must be there once only.
func Unmarshal(data []byte, v any) error {
	if !utf8.Valid(data) {
		return errors.New("the JSON is not valid UTF-8")
	}
	if err := checkDepth(data); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("reading JSON: %w", err)
	}
	return nil
}

func checkDepth(data []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{', c == '[':
			if depth++; depth > MaxDepth {
				return fmt.Errorf("the JSON is nested deeper than %d levels", MaxDepth)
			}
		case c == '}', c == ']':
			depth--
		}
	}
	return nil
}
