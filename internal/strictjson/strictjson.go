// Package strictjson reads JSON that a stranger sent. It refuses what a
// lenient reader would let two readers understand differently: members twice
// in an object, member names in another case, anything behind the value,
// invalid UTF-8, and nesting without end.
package strictjson

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
)

const (
	// MaxDepth is how deep arrays and objects may be nested.
	MaxDepth = 16
	// MaxValues is how many members and elements there may be, more or less:
	// the commas between them are counted.
	MaxValues = 2500
)

// Unmarshal decodes one JSON value into v, as encoding/json does but for the
// strictness. Members that v has no field for are ignored, as ACME asks
// (RFC 8555 §7.1), though they too must be there once only.
func Unmarshal(data []byte, v any) error {
	if err := checkShape(data); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("reading JSON: %w", cause(err))
	}
	return nil
}

// cause is what was wrong in itself: the package's own errors name Go types.
func cause(err error) error {
	var semantic *json.SemanticError
	if !errors.As(err, &semantic) {
		return err
	}
	if semantic.Err != nil {
		return fmt.Errorf("at %q: %w", semantic.JSONPointer, semantic.Err)
	}
	return fmt.Errorf("at %q: a JSON %s is not what belongs there", semantic.JSONPointer, semantic.JSONKind)
}

func checkShape(data []byte) error {
	depth, values, inString := 0, 0, false
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
		case c == ',':
			if values++; values > MaxValues {
				return fmt.Errorf("the JSON has more than %d values", MaxValues)
			}
		}
	}
	return nil
}
