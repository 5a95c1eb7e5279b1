package ca

import (
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"net/netip"
	"slices"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
)

// maxCSR bounds the PKCS#10 requests that are parsed, in octets of DER.
const maxCSR = 48 << 10

// request is what is taken from a CSR: the key, and the common name it asks
// for. Its names only have to be the order's.
type request struct {
	public     any
	keyType    key.Type
	spki       []byte
	thumbprint string // RFC 7638
	commonName string // canonical; empty: none
	mustStaple bool   // it asks for the TLS feature status_request
	hasDevices bool   // it asks for the order's identifiers of devices
}

func badCSR(format string, args ...any) error { return acme.NewProblem(acme.BadCSR, format, args...) }

// parseCSR reads a PKCS#10 request, checks its signature and its key, and
// that it asks for exactly the given identifiers (RFC 8555 §7.4). What else it
// may ask for is requestedExtensions' rule; the rest of the subject, and
// attributes such as challengePassword, are ignored.
func parseCSR(der []byte, identifiers []acme.Identifier) (request, error) {
	if len(der) > maxCSR {
		return request{}, badCSR("the CSR is larger than %d octets", maxCSR)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return request{}, badCSR("the CSR can't be parsed as PKCS#10 in DER")
	}
	if csr.PublicKey == nil {
		return request{}, badCSR("the CSR has a key of a kind that is not accepted; use RSA or an EC key on P-256, P-384 or P-521")
	}
	if public, ok := csr.PublicKey.(ed25519.PublicKey); ok && slices.ContainsFunc(identifiers, func(id acme.Identifier) bool { return public.Equal(id.OnionKey()) }) {
		// RFC 9799 §3.2.
		return request{}, badCSR("the CSR has the key of the onion service itself; make another key for its certificate")
	}
	keyType, err := key.Check(csr.PublicKey)
	if err != nil {
		return request{}, badCSR("the CSR's key is refused: %s", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return request{}, badCSR("the CSR's signature does not verify with its key, or uses an algorithm such as SHA-1 that is not accepted")
	}
	r := request{public: csr.PublicKey, keyType: keyType, spki: csr.RawSubjectPublicKeyInfo}
	asJWK, err := acme.AccountKeyOf(csr.PublicKey)
	if err != nil {
		return request{}, err
	}
	r.thumbprint = asJWK.Thumbprint()
	if r.mustStaple, err = requestedExtensions(csr.Extensions); err != nil {
		return request{}, err
	}
	names, err := csrNames(csr)
	if err != nil {
		return request{}, err
	}
	if r.hasDevices = slices.ContainsFunc(names, acme.Identifier.IsDevice); !r.hasDevices {
		// draft-ietf-acme-device-attest §3.2: the CSR need not have them.
		names = append(names, devicesOf(identifiers)...)
	}
	cn, err := csrCommonName(csr)
	if err != nil {
		return request{}, err
	}
	named := func(id acme.Identifier) bool { identity, _ := id.Device(); return identity == cn }
	switch {
	case cn == "":
	case slices.ContainsFunc(identifiers, named):
		r.commonName = cn
	default:
		id, err := parseName(cn)
		if err != nil {
			return request{}, badCSR("the CSR's common name is none of the order's identifiers; leave it out or make it one of them")
		}
		names = append(names, id)
		r.commonName = id.Value()
	}
	names = acme.UniqueIdentifiers(names)
	if !slices.Equal(names, acme.UniqueIdentifiers(identifiers)) {
		return request{}, mismatch(names, identifiers)
	}
	return r, nil
}

func csrNames(csr *x509.CertificateRequest) ([]acme.Identifier, error) {
	names, err := csrOtherNames(csr.Extensions)
	if err != nil {
		return nil, err
	}
	for _, name := range csr.DNSNames {
		id, err := acme.ParseIdentifier(acme.IdentifierDNS, name)
		if err != nil {
			return nil, badCSR("a name in the CSR is refused: %s", detail(err))
		}
		names = append(names, id)
	}
	for _, ip := range csr.IPAddresses {
		addr, ok := netip.AddrFromSlice(ip)
		if !ok {
			return nil, badCSR("an address in the CSR has %d octets", len(ip))
		}
		names = append(names, acme.IdentifierFromIP(addr))
	}
	return names, nil
}

// csrCommonName is the one common name of the subject; empty: none.
func csrCommonName(csr *x509.CertificateRequest) (string, error) {
	count := 0
	for _, attribute := range csr.Subject.Names {
		if attribute.Type.Equal(oidCommonName) {
			count++
			if _, ok := attribute.Value.(string); !ok {
				return "", badCSR("the CSR's common name is not text; leave it out or make it one of the order's identifiers")
			}
		}
	}
	if count > 1 {
		return "", badCSR("the CSR has %d common names; leave them out, or have one that is one of the order's identifiers", count)
	}
	return csr.Subject.CommonName, nil
}

// parseName reads a common name, which does not say what it is.
func parseName(s string) (acme.Identifier, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return acme.IdentifierFromIP(addr), nil
	}
	return acme.ParseIdentifier(acme.IdentifierDNS, s)
}

func mismatch(csr, order []acme.Identifier) error {
	for _, id := range order {
		if !slices.Contains(csr, id) {
			return badCSR("the CSR does not have %q, which the order has: its names must be exactly the order's", id.Value())
		}
	}
	for _, id := range csr {
		if !slices.Contains(order, id) {
			return badCSR("the CSR has %q, which the order does not have: its names must be exactly the order's", id.Value())
		}
	}
	return badCSR("the CSR's names are not the order's")
}

func detail(err error) string {
	var p *acme.Problem
	if errors.As(err, &p) {
		return p.Detail
	}
	return err.Error()
}
