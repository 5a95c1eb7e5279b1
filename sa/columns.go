package sa

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// The store's columns: times are microseconds, identifiers and serials are
// octets, and what is absent (a zero time, an empty string) is NULL. This file
// converts, in both directions and for both databases.

// cut is t as it comes back from the store.
func cut(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMicro(t.UnixMicro()).UTC()
}

func timeValue(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

func textValue[T ~string](s T) any {
	if s == "" {
		return nil
	}
	return string(s)
}

func bytesValue(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

// boolValue is 1 or 0: the columns are integers in both databases.
func boolValue(b bool) any {
	if b {
		return int64(1)
	}
	return int64(0)
}

func idValue(id acme.ID) any {
	if id.IsZero() {
		return nil
	}
	return id[:]
}

// jsonValue writes v, or NULL for the nil pointer and the empty list.
func jsonValue[T any](v *T) (any, error) {
	if v == nil {
		return nil, nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("writing %T as JSON: %w", v, err)
	}
	return string(text), nil
}

// fromJSON reads what jsonValue wrote; NULL is nil.
func fromJSON[T any](text string) (*T, error) {
	if text == "" {
		return nil, nil
	}
	v := new(T)
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return nil, fmt.Errorf("reading %T from JSON: %w", v, err)
	}
	return v, nil
}

// The scan types read a column into the type that they are made from, by
// conversion of the pointer; NULL is the zero value. They spare database/sql
// its reflection.
type (
	scanText   string
	scanBytes  []byte
	scanInt    int
	scanInt64  int64
	scanBool   bool
	scanTime   time.Time
	scanID     acme.ID
	scanIssuer acme.IssuerID
	scanSerial acme.Serial
)

func (d *scanText) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*d = ""
	case string:
		*d = scanText(v)
	case []byte:
		*d = scanText(v)
	default:
		return unexpected("text", src)
	}
	return nil
}

func (d *scanBytes) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*d = nil
	case []byte:
		*d = append([]byte(nil), v...)
	default:
		return unexpected("octets", src)
	}
	return nil
}

func (d *scanInt64) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*d = 0
	case int64:
		*d = scanInt64(v)
	default:
		return unexpected("an integer", src)
	}
	return nil
}

func (d *scanInt) Scan(src any) error {
	var n scanInt64
	if err := n.Scan(src); err != nil {
		return err
	}
	*d = scanInt(n)
	return nil
}

// Scan reads the boolean of PostgreSQL and the integer of SQLite.
func (d *scanBool) Scan(src any) error {
	if v, ok := src.(bool); ok {
		*d = scanBool(v)
		return nil
	}
	var n scanInt64
	if err := n.Scan(src); err != nil {
		return err
	}
	*d = n != 0
	return nil
}

func (d *scanTime) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*d = scanTime{}
	case int64:
		*d = scanTime(time.UnixMicro(v).UTC())
	default:
		return unexpected("a time", src)
	}
	return nil
}

func (d *scanID) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*d = scanID{}
	case []byte:
		id, err := acme.IDFromBytes(v)
		*d = scanID(id)
		return err
	default:
		return unexpected("an identifier", src)
	}
	return nil
}

func (d *scanIssuer) Scan(src any) error {
	v, ok := src.([]byte)
	if !ok || len(v) != len(d) {
		return unexpected("an issuer's identifier", src)
	}
	*d = scanIssuer(v)
	return nil
}

func (d *scanSerial) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*d = scanSerial{}
	case []byte:
		serial, err := acme.SerialFromBytes(v)
		*d = scanSerial(serial)
		return err
	default:
		return unexpected("a serial", src)
	}
	return nil
}

func unexpected(want string, got any) error {
	return fmt.Errorf("the column holds %T, not %s", got, want)
}
