package va

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"strings"

	mdns "github.com/miekg/dns"
	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/internal/acme"
)

// acmeTLS is the protocol of RFC 8737 §4.
const acmeTLS = "acme-tls/1"

var (
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidACMEIdentifier = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31} // RFC 8737 §3
)

// Tags of GeneralName (RFC 5280 §4.2.1.6).
var (
	tagDNSName   = cryptobyteasn1.Tag(2).ContextSpecific()
	tagIPAddress = cryptobyteasn1.Tag(7).ContextSpecific()
)

// tlsALPN01 is RFC 8737, for IP addresses RFC 8738 §6.
type tlsALPN01 struct{ *VA }

func (tlsALPN01) unfit(id acme.Identifier, wildcard bool) string {
	switch {
	case wildcard:
		return "tls-alpn-01 can't prove control of a wildcard name; respond to dns-01"
	case id.Type() != acme.IdentifierDNS && id.Type() != acme.IdentifierIP:
		return "tls-alpn-01 proves control of DNS names and IP addresses only"
	}
	return ""
}

func (m tlsALPN01) prove(ctx context.Context, t *try) *failure {
	to := target{port: uint16(m.TLSPort)}
	sni := t.Identifier.Value()
	if addr := t.Identifier.Addr(); addr.IsValid() {
		to.addr = addr
		reverse, err := mdns.ReverseAddr(addr.String())
		if err != nil {
			return wrong(acme.Malformed, "%s has no name in the reverse zones", addr)
		}
		sni = strings.TrimSuffix(reverse, ".")
	} else {
		to.host = sni
	}
	conn, fail := m.connect(ctx, t, to)
	if fail != nil {
		return fail
	}
	defer conn.Close()
	secure := tls.Client(conn, &tls.Config{
		ServerName: sni, NextProtos: []string{acmeTLS}, MinVersion: tls.VersionTLS12,
		// The certificate is checked below, by RFC 8737's rules.
		InsecureSkipVerify: true,
	})
	if err := secure.HandshakeContext(ctx); err != nil {
		fail := handshakeFailure(conn, "SNI "+sni+", protocol "+acmeTLS, err)
		t.step("%s", fail.problem.Detail)
		return fail
	}
	state := secure.ConnectionState()
	if state.NegotiatedProtocol != acmeTLS {
		t.step("%s did not choose the protocol %s", conn.remote, acmeTLS)
		return wrong(acme.TLS, "%s did not choose the protocol %s; let the server answer tls-alpn-01 for %s", conn.remote, acmeTLS, sni)
	}
	reason := checkALPNCertificate(state.PeerCertificates[0], t.Identifier, t.keyAuthorization)
	if reason != "" {
		t.step("TLS with %s, SNI %s: %s", conn.remote, sni, reason)
		return wrong(acme.Unauthorized, "the certificate that %s shows for SNI %s and %s does not prove control: %s", conn.remote, sni, acmeTLS, reason)
	}
	t.step("TLS with %s, SNI %s: the certificate proves control", conn.remote, sni)
	return nil
}

// checkALPNCertificate says why a certificate is not the answer to a
// challenge (RFC 8737 §3); empty: it is.
func checkALPNCertificate(cert *x509.Certificate, id acme.Identifier, keyAuthorization string) string {
	var name, proof []byte // the values of the two extensions
	var critical bool
	seen := map[string]bool{}
	for _, extension := range cert.Extensions {
		oid := extension.Id.String()
		if seen[oid] {
			return fmt.Sprintf("it has the extension %s twice", oid)
		}
		seen[oid] = true
		switch {
		case extension.Id.Equal(oidSubjectAltName):
			name = extension.Value
		case extension.Id.Equal(oidACMEIdentifier):
			proof, critical = extension.Value, extension.Critical
		}
	}
	if reason := checkOnlyName(name, id); reason != "" {
		return reason
	}
	digest := sha256.Sum256([]byte(keyAuthorization))
	want := append([]byte{byte(cryptobyteasn1.OCTET_STRING), sha256.Size}, digest[:]...)
	switch {
	case proof == nil:
		return "it has no acmeIdentifier extension"
	case !critical:
		return "its acmeIdentifier extension is not critical"
	case subtle.ConstantTimeCompare(proof, want) != 1:
		return fmt.Sprintf("its acmeIdentifier extension is %x; it must be %x", proof[:min(len(proof), maxQuote)], want)
	case !bytes.Equal(cert.RawIssuer, cert.RawSubject):
		return "it is not self-signed: issuer and subject differ"
	}
	if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		return "it is not self-signed: " + networkCause(err)
	}
	return ""
}

// checkOnlyName says why a subjectAltName extension does not have exactly the
// one name.
func checkOnlyName(extension []byte, id acme.Identifier) string {
	if extension == nil {
		return "it has no subjectAltName extension"
	}
	tag, value := tagDNSName, []byte(id.Value())
	if addr := id.Addr(); addr.IsValid() {
		tag, value = tagIPAddress, addr.AsSlice()
	}
	der := cryptobyte.String(extension)
	var names, got cryptobyte.String
	if !der.ReadASN1(&names, cryptobyteasn1.SEQUENCE) || !der.Empty() {
		return "its subjectAltName extension is malformed"
	}
	var gotTag cryptobyteasn1.Tag
	if !names.ReadAnyASN1(&got, &gotTag) || !names.Empty() {
		return "its subjectAltName extension has not exactly one name"
	}
	same := bytes.Equal(got, value)
	if tag == tagDNSName {
		// With the length, so that only ASCII letters fold.
		same = len(got) == len(value) && bytes.EqualFold(got, value)
	}
	if gotTag != tag || !same {
		return fmt.Sprintf("its subjectAltName extension has %s; it must have %s alone", quote(got), id)
	}
	return ""
}

// handshakeFailure is the failure of a TLS handshake.
func handshakeFailure(conn *connection, asking string, err error) *failure {
	switch {
	case isTimeout(err), errors.Is(err, io.EOF):
		cause := "the connection ended early"
		if isTimeout(err) {
			cause = "no answer in time"
		}
		return unreached(acme.Connection, "TLS handshake with %s (%s): %s", conn.remote, asking, cause)
	case isReset(err):
		return unreached(acme.Connection, "TLS handshake with %s (%s): %s", conn.remote, asking, networkCause(err))
	}
	return wrong(acme.TLS, "TLS handshake with %s (%s): %s", conn.remote, asking, networkCause(err))
}
