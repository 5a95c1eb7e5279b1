package acme

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"filippo.io/edwards25519"
)

// Addresses that are out there, and what is no address. The checksums of the
// first two are Tor's own.
func TestOnionNames(t *testing.T) {
	t.Parallel()
	const service = "bbcweb3hytmzhn5d532owbu6oqadra5z3ar726vq5kgwwn6aucdccrad.onion"
	const other = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"
	for _, test := range []struct {
		in, want string
		problem  ProblemType
		words    string
	}{
		{service, service, "", ""},
		{other, other, "", ""},
		{strings.ToUpper(service), service, "", ""},
		{"www." + service, "www." + service, "", ""},
		{"*." + service, "*." + service, "", ""},
		{"*.a.b." + service, "*.a.b." + service, "", ""},
		{"onion", "", Malformed, "56 characters"},
		{"*.onion", "", Malformed, "56 characters"},
		{"example.onion", "", Malformed, "7 characters"},
		{"expyuzz4wqqyqhjn.onion", "", RejectedIdentifier, "version 3"}, // of version 2
		{"www.expyuzz4wqqyqhjn.onion", "", RejectedIdentifier, "version 3"},
		{"0xpyuzz4wqqyqhjn.onion", "", Malformed, "16 characters"},
		{strings.Replace(service, "b", "c", 1), "", Malformed, "checksum"},
		{strings.Replace(service, "b", "1", 1), "", Malformed, "base32"},
		{service[1:], "", Malformed, "55 characters"},
		{"a" + service, "", Malformed, "57 characters"},
		{strings.Replace(service, "d.onion", "e.onion", 1), "", Malformed, "version 4"},
		{"a_b." + service, "", Malformed, "underscores"},
		{service + ".", "", Malformed, "trailing dot"},
		{service + ".example", service + ".example", "", ""},                                                          // no onion name
		{onionAddress(t, "0100000000000000000000000000000000000000000000000000000000000000"), "", Malformed, "sound"}, // the identity
		{onionAddress(t, "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"), "", Malformed, "sound"}, // of order 2
		{onionAddress(t, "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "", Malformed, "sound"}, // of order 8
		{onionAddress(t, "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"), "", Malformed, "sound"}, // 1, not reduced
		{onionAddress(t, "0200000000000000000000000000000000000000000000000000000000000000"), "", Malformed, "sound"}, // on no curve
	} {
		id, err := ParseIdentifier(IdentifierDNS, test.in)
		var p *Problem
		switch {
		case test.problem == "" && (err != nil || id.Value() != test.want):
			t.Errorf("%s: %v, %v", test.in, id, err)
		case test.problem != "" && (!errors.As(err, &p) || p.Type != test.problem || !strings.Contains(p.Detail, test.words)):
			t.Errorf("%s: %v, %v; want %s with %q", test.in, id, err, test.problem, test.words)
		}
	}
}

// A key with a torsion component names no service: it would be a second
// address of the one without.
func TestOnionTorsion(t *testing.T) {
	t.Parallel()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	if !primeOrder(key) {
		t.Fatal("an ordinary key is refused")
	}
	// Adding the point of order 2, (0, -1), negates both coordinates.
	p := mustHex(t, "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")
	twisted := addPoints(t, key, p)
	if primeOrder(twisted) {
		t.Error("a key with a component of order 2 is accepted")
	}
}

func TestOnionIdentifier(t *testing.T) {
	t.Parallel()
	key := ed25519.NewKeyFromSeed([]byte("a seed of exactly thirty-two oct")).Public().(ed25519.PublicKey)
	service := OnionIdentifier(key)
	for _, name := range []string{service.Value(), "www." + service.Value(), "*.a." + service.Value()} {
		id, err := ParseIdentifier(IdentifierDNS, name)
		if err != nil {
			t.Fatal(err)
		}
		if !id.IsOnion() || !id.Base().IsOnion() || id.OnionService() != service || !key.Equal(id.OnionKey()) {
			t.Errorf("%s: service %v, key %x", name, id.OnionService(), id.OnionKey())
		}
	}
	for _, name := range []string{"example.com", "onion.example", "aonion"} {
		id, err := ParseIdentifier(IdentifierDNS, name)
		if err != nil || id.IsOnion() || !id.OnionService().IsZero() || id.OnionKey() != nil {
			t.Errorf("%s is taken for an onion name: %v", name, err)
		}
	}
}

// The example of RFC 9799 §6.4.2.
func TestOnionCAASignature(t *testing.T) {
	t.Parallel()
	service, err := ParseIdentifier(IdentifierDNS, "5anebu2glyc235wbbop3m2ukzlaptpkq333vdtdvcjpigyb7x2i2m2qd.onion")
	if err != nil {
		t.Fatal(err)
	}
	signature, err := base64.URLEncoding.DecodeString("u_iP6JZ4JZBrzQUKH6lSrWejjRfeQmkTuehc0_FaaTNPAV0RVxpUz9r44DRdy6kgy0ofnx18KIhMrP7N1wpxAA==")
	if err != nil {
		t.Fatal(err)
	}
	caa := "caa 128 issue \"test.acmeforonions.org; validationmethods=onion-csr-01\"\ncaa 0 iodef \"mailto:example@example.com\""
	set := OnionCAA{Service: service, CAA: &caa, Expiry: time.Unix(1697210719, 0), Signature: [64]byte(signature)}
	if !set.Verify() {
		t.Error("the RFC's example does not verify")
	}
}

func TestOnionCAASigning(t *testing.T) {
	t.Parallel()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	service := OnionIdentifier(key.Public().(ed25519.PublicKey))
	text, none := `caa 0 issue "ca.example"`, ""
	signed := OnionCAA{Service: service, CAA: &text, Expiry: time.Unix(2e9, 0)}
	signed.Sign(key)
	null := OnionCAA{Service: service, Expiry: time.Unix(2e9, 0)}
	null.Sign(key)
	if !signed.Verify() || !null.Verify() {
		t.Fatal("what was signed does not verify")
	}
	empty := null
	empty.CAA = &none
	if !empty.Verify() {
		t.Error("null is not signed as the empty string")
	}
	for name, change := range map[string]func(*OnionCAA){
		"other records":   func(c *OnionCAA) { c.CAA = &none },
		"null":            func(c *OnionCAA) { c.CAA = nil },
		"later":           func(c *OnionCAA) { c.Expiry = c.Expiry.Add(time.Second) },
		"other signature": func(c *OnionCAA) { c.Signature[3] ^= 1 },
		"no onion name":   func(c *OnionCAA) { c.Service = Identifier{IdentifierDNS, "example.com"} },
		"another service's": func(c *OnionCAA) {
			c.Service = OnionIdentifier(ed25519.NewKeyFromSeed([]byte("a seed of exactly thirty-two oct")).Public().(ed25519.PublicKey))
		},
	} {
		changed := signed
		change(&changed)
		if changed.Verify() {
			t.Errorf("%s: it verifies", name)
		}
	}
}

func mustHex(t *testing.T, s string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// onionAddress is the well-formed address of any 32 octets.
func onionAddress(t *testing.T, key string) string {
	t.Helper()
	return OnionIdentifier(mustHex(t, key)).Value()
}

func addPoints(t *testing.T, a, b []byte) []byte {
	t.Helper()
	p, errP := new(edwards25519.Point).SetBytes(a)
	q, errQ := new(edwards25519.Point).SetBytes(b)
	if err := errors.Join(errP, errQ); err != nil {
		t.Fatal(err)
	}
	return p.Add(p, q).Bytes()
}
