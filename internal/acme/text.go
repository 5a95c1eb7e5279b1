package acme

import (
	"fmt"
	"strings"
)

// ParseIdentifierString reads the form that Identifier.String writes.
func ParseIdentifierString(s string) (Identifier, error) {
	kind, value, ok := strings.Cut(s, ":")
	if !ok {
		return Identifier{}, fmt.Errorf("%q is not of the form type:value", bounded(s))
	}
	return ParseIdentifier(IdentifierType(kind), value)
}

// MarshalText writes the identifier as String does, and the zero value as
// nothing.
func (id Identifier) MarshalText() ([]byte, error) {
	if id.IsZero() {
		return []byte{}, nil
	}
	return []byte(id.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (id *Identifier) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*id = Identifier{}
		return nil
	}
	parsed, err := ParseIdentifierString(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// MarshalText writes the ID as String does.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}
