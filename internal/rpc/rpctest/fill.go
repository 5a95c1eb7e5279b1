// Package rpctest holds what the tests of the services' gRPC adapters share: a
// connection over loopback with mutual TLS, and values that have something
// different in every field.
package rpctest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cairn-ca/cairn/internal/acme"
)

// maxProblems is how deep problems are nested in values that Fill makes.
const maxProblems = 3

// Filler makes values.
type Filler struct {
	// Sparse leaves out all that can be: pointers, lists, times, text.
	Sparse bool
	// False makes booleans false.
	False bool

	n        uint64
	problems int
}

// Equal compares values of the acme package and those made of them.
func Equal() cmp.Option {
	return cmp.Options{
		cmp.Comparer(func(a, b acme.AccountKey) bool { return a.JSON() == b.JSON() && a.Thumbprint() == b.Thumbprint() }),
		cmp.Comparer(func(a, b acme.Identifier) bool { return a == b }),
		cmp.Comparer(func(a, b acme.Serial) bool { return a == b }),
		cmp.Comparer(func(a, b acme.CertID) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		// Not by Equal: times arrive in UTC, which == tells from other zones.
		cmp.Comparer(func(a, b time.Time) bool { return a == b }),
	}
}

// Value makes a value of the type, with something in it that no other field
// has.
func (f *Filler) Value(t testing.TB, typ reflect.Type) reflect.Value {
	t.Helper()
	v := reflect.New(typ).Elem()
	f.fill(t, v, typ.String())
	return v
}

func (f *Filler) next() uint64 { f.n++; return f.n }

func (f *Filler) text(what string) string { return fmt.Sprintf("%s-%d", what, f.next()) }

func (f *Filler) bytes(n int) []byte {
	var all []byte
	for len(all) < n {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, f.next()))
		all = append(all, sum[:]...)
	}
	all[0] = all[0]&0x7f | 1 // a legal first octet of a serial
	return all[:n]
}

// known makes values of types that hold only what their package makes.
func (f *Filler) known(t testing.TB, typ reflect.Type) (any, bool) {
	must := func(v any, err error) (any, bool) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v, true
	}
	switch typ {
	case reflect.TypeFor[acme.Serial]():
		return must(acme.SerialFromBytes(f.bytes(20)))
	case reflect.TypeFor[acme.CertID]():
		if f.Sparse {
			return acme.CertID{}, true
		}
		keyID := f.bytes(20)
		serial, err := acme.SerialFromBytes(f.bytes(20))
		return must(acme.NewCertID(keyID, serial), err)
	case reflect.TypeFor[acme.Identifier]():
		return must(acme.ParseIdentifier(acme.IdentifierDNS, f.text("name")+".example"))
	case reflect.TypeFor[acme.AccountKey]():
		public := ed25519.NewKeyFromSeed(f.bytes(32)).Public().(ed25519.PublicKey)
		return must(acme.ParseAccountKey(fmt.Appendf(nil, `{"kty":"OKP","crv":"Ed25519","x":%q}`, base64.RawURLEncoding.EncodeToString(public))))
	case reflect.TypeFor[time.Time]():
		if f.Sparse {
			return time.Time{}, true
		}
		return time.Unix(1_800_000_000+int64(f.next()), 123_456_789).UTC(), true
	case reflect.TypeFor[netip.Addr]():
		if f.Sparse {
			return netip.Addr{}, true
		}
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(f.next())))), true
	}
	return nil, false
}

func (f *Filler) fill(t testing.TB, v reflect.Value, path string) {
	t.Helper()
	if known, ok := f.known(t, v.Type()); ok {
		v.Set(reflect.ValueOf(known))
		return
	}
	if v.Type() == reflect.TypeFor[acme.Problem]() {
		f.problems++
		defer func() { f.problems-- }()
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if !field.IsExported() {
				t.Fatalf("%s.%s is not exported: tell rpctest how a %s is made", path, field.Name, v.Type())
			}
			f.fill(t, v.Field(i), path+"."+field.Name)
		}
	case reflect.Pointer:
		if !f.Sparse && !f.deep(v.Type().Elem()) {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(t, v.Elem(), path)
		}
	case reflect.Slice:
		if f.Sparse || f.deep(v.Type().Elem()) {
			return
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(f.bytes(24))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			f.fill(t, v.Index(i), path)
		}
	case reflect.Array:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			t.Fatalf("%s: rpctest can't make a %s", path, v.Type())
		}
		reflect.Copy(v, reflect.ValueOf(f.bytes(v.Len())))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			v.SetMapIndex(f.Value(t, v.Type().Key()), f.Value(t, v.Type().Elem()))
		}
	case reflect.String:
		if !f.Sparse || v.Type() == reflect.TypeFor[acme.ProblemType]() {
			v.SetString(f.text("text"))
		}
	case reflect.Bool:
		v.SetBool(!f.False)
	case reflect.Int, reflect.Int64:
		if !f.Sparse {
			v.SetInt(int64(f.next()))
		}
	default:
		t.Fatalf("%s: rpctest can't make a %s", path, v.Type())
	}
}

// deep tells that enough problems are nested.
func (f *Filler) deep(typ reflect.Type) bool {
	return f.problems >= maxProblems && typ == reflect.TypeFor[acme.Problem]()
}
