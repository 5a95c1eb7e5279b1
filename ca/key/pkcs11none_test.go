//go:build !cgo

package key

import (
	"errors"
	"strings"
	"testing"
)

// A build without cgo says what it lacks.
func TestNoPKCS11(t *testing.T) {
	t.Parallel()
	spec, err := ParseSpec(testURI)
	if err != nil {
		t.Fatal(err)
	}
	o, err := NewOpener(OpenerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	_, opening := o.Open(t.Context(), spec)
	_, making := o.GeneratePKCS11(t.Context(), *spec.PKCS11, P256, 0)
	for _, err := range []error{opening, making} {
		if !errors.Is(err, ErrNoPKCS11) || !strings.Contains(err.Error(), "build with CGO_ENABLED=1") {
			t.Errorf("%v", err)
		}
	}
}
