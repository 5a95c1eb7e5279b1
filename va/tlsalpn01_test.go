package va_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/va"
)

var acmeIdentifier = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}

// proof is the extension that a good certificate has.
func proof() pkix.Extension {
	sum := sha256.Sum256([]byte(keyAuth))
	return pkix.Extension{Id: acmeIdentifier, Critical: true, Value: append([]byte{4, 32}, sum[:]...)}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certificate is a good certificate but for what change does to the template.
// It is signed by signer under the name of issuer.
func certificate(t testing.TB, change func(template *x509.Certificate), issuer string, signer crypto.Signer) *tls.Certificate {
	t.Helper()
	key := newKey(t)
	if signer == nil {
		signer = key
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "acme"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0), // validity does not matter
		DNSNames: []string{"a.test"}, ExtraExtensions: []pkix.Extension{proof()},
	}
	change(template)
	parent := *template
	if issuer != "" {
		parent.Subject = pkix.Name{CommonName: issuer}
	}
	parent.PublicKey = nil
	der, err := x509.CreateCertificate(rand.Reader, template, &parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestTLSALPN01Certificates(t *testing.T) {
	t.Parallel()
	san := func(value ...byte) pkix.Extension {
		return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}
	}
	other := newKey(t)
	for _, c := range []struct {
		name   string
		change func(*x509.Certificate)
		issuer string
		signer crypto.Signer
		want   acme.ProblemType
		words  string
	}{
		{"good", func(*x509.Certificate) {}, "", nil, valid, ""},
		{"upper case", func(c *x509.Certificate) { c.DNSNames = []string{"A.TEST"} }, "", nil, valid, ""},
		{"two names", func(c *x509.Certificate) { c.DNSNames = []string{"a.test", "b.test"} }, "", nil, acme.Unauthorized, "not exactly one name"},
		{"name twice", func(c *x509.Certificate) { c.DNSNames = []string{"a.test", "a.test"} }, "", nil, acme.Unauthorized, "not exactly one name"},
		{"address too", func(c *x509.Certificate) { c.IPAddresses = []net.IP{{127, 0, 0, 1}} }, "", nil, acme.Unauthorized, "not exactly one name"},
		{"other name", func(c *x509.Certificate) { c.DNSNames = []string{"b.test"} }, "", nil, acme.Unauthorized, `has "b.test"`},
		{"wildcard", func(c *x509.Certificate) { c.DNSNames = []string{"*.test"} }, "", nil, acme.Unauthorized, `has "*.test"`},
		{"no name", func(c *x509.Certificate) { c.DNSNames = nil }, "", nil, acme.Unauthorized, "no subjectAltName"},
		{"address only", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, []net.IP{{127, 0, 0, 1}} }, "", nil, acme.Unauthorized, "must have dns:a.test"},
		{"mail name", func(c *x509.Certificate) { c.DNSNames, c.EmailAddresses = nil, []string{"a.test"} }, "", nil, acme.Unauthorized, "must have dns:a.test"},
		{"empty name list", func(c *x509.Certificate) {
			c.DNSNames, c.ExtraExtensions = nil, append(c.ExtraExtensions, san(0x30, 0))
		}, "", nil, acme.Unauthorized, ""},
		{"no proof", func(c *x509.Certificate) { c.ExtraExtensions = nil }, "", nil, acme.Unauthorized, "no acmeIdentifier"},
		{"not critical", func(c *x509.Certificate) { c.ExtraExtensions[0].Critical = false }, "", nil, acme.Unauthorized, "not critical"},
		{"wrong proof", func(c *x509.Certificate) { c.ExtraExtensions[0].Value[5] ^= 1 }, "", nil, acme.Unauthorized, "acmeIdentifier extension is 0420"},
		{"proof without its tag", func(c *x509.Certificate) { c.ExtraExtensions[0].Value = c.ExtraExtensions[0].Value[2:] }, "", nil, acme.Unauthorized, "it must be 0420"},
		{"proof and more", func(c *x509.Certificate) { c.ExtraExtensions[0].Value = append(c.ExtraExtensions[0].Value, 0) }, "", nil, acme.Unauthorized, "it must be 0420"},
		{"long length form", func(c *x509.Certificate) {
			c.ExtraExtensions[0].Value = append([]byte{4, 0x81, 32}, c.ExtraExtensions[0].Value[2:]...)
		}, "", nil, acme.Unauthorized, "it must be 0420"},
		{"huge proof", func(c *x509.Certificate) { c.ExtraExtensions[0].Value = make([]byte, 10000) }, "", nil, acme.Unauthorized, "it must be 0420"},
		{"name list and more", func(c *x509.Certificate) {
			c.DNSNames, c.ExtraExtensions = nil, append(c.ExtraExtensions, san(0x30, 8, 0x82, 6, 'a', '.', 't', 'e', 's', 't', 0, 0))
		}, "", nil, acme.Unauthorized, "malformed"},
		{"name with a dot", func(c *x509.Certificate) { c.DNSNames = []string{"a.test."} }, "", nil, acme.Unauthorized, "must have dns:a.test"},
		{"name with a null", func(c *x509.Certificate) {
			c.DNSNames, c.ExtraExtensions = nil, append(c.ExtraExtensions, san(0x30, 10, 0x82, 8, 'a', '.', 't', 'e', 's', 't', 0, 'x'))
		}, "", nil, acme.Unauthorized, "must have dns:a.test"},
		// crypto/x509 refuses these already, in the handshake.
		{"proof twice", func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, proof()) }, "", nil, acme.TLS, "duplicate extension"},
		{"other issuer", func(*x509.Certificate) {}, "issuer", other, acme.Unauthorized, "issuer and subject differ"},
		{"other key", func(*x509.Certificate) {}, "", other, acme.Unauthorized, "not self-signed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.SetTLSALPNCertificate("a.test", certificate(t, c.change, c.issuer, c.signer))
			result := l.validate(t, request(dnsName(t, "a.test"), acme.TLSALPN01))
			expect(t, result, c.want, false, c.words)
			namesAddress(t, result)
		})
	}
}

func TestTLSALPN01Servers(t *testing.T) {
	t.Parallel()
	good := certificate(t, func(*x509.Certificate) {}, "", nil)
	serveTLS := func(config *tls.Config) func(net.Conn) {
		config.Certificates = []tls.Certificate{*good}
		return func(conn net.Conn) { _ = tls.Server(conn, config).Handshake() }
	}
	for _, c := range []struct {
		name    string
		timeout time.Duration
		serve   func(net.Conn)
		want    acme.ProblemType
		mayHeal bool
		words   string
	}{
		{"good", 10 * time.Second, serveTLS(&tls.Config{NextProtos: []string{"acme-tls/1"}}), valid, false, ""},
		{"TLS 1.2", 10 * time.Second, serveTLS(&tls.Config{NextProtos: []string{"acme-tls/1"}, MaxVersion: tls.VersionTLS12}), valid, false, ""},
		{"TLS 1.1", 10 * time.Second, serveTLS(&tls.Config{NextProtos: []string{"acme-tls/1"}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), acme.TLS, false, "protocol version"},
		{"no ALPN", 10 * time.Second, serveTLS(&tls.Config{}), acme.TLS, false, "did not choose the protocol acme-tls/1"},
		{"other ALPN", 10 * time.Second, serveTLS(&tls.Config{NextProtos: []string{"h2"}}), acme.TLS, false, "no application protocol"},
		{"garbage", 10 * time.Second, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			_, _ = io.Copy(io.Discard, conn)
		}, acme.TLS, false, "not look like a TLS handshake"},
		{"closes", 10 * time.Second, func(conn net.Conn) { _, _ = conn.Read(make([]byte, 4096)) }, acme.Connection, true, "ended early"},
		{"silent", 300 * time.Millisecond, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, acme.Connection, true, "no answer in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := rawLab(t, c.timeout, c.serve)
			result := l.validate(t, request(dnsName(t, "a.test"), acme.TLSALPN01))
			expect(t, result, c.want, c.mayHeal, c.words)
			namesAddress(t, result)
		})
	}
}

// TestTLSALPN01Addresses: the SNI of an address is its name in the reverse
// zones, and the certificate has the address itself (RFC 8738 §6).
func TestTLSALPN01Addresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		address, certified, sni string
		want                    acme.ProblemType
	}{
		{"192.0.2.1", "192.0.2.1", "1.2.0.192.in-addr.arpa", valid},
		{"192.0.2.1", "192.0.2.2", "1.2.0.192.in-addr.arpa", acme.Unauthorized},
		{"2001:db8::1", "2001:db8::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", valid},
		{"2001:db8::1", "192.0.2.1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", acme.Unauthorized},
	} {
		hellos := make(chan string, 1)
		cert := certificate(t, func(template *x509.Certificate) {
			template.DNSNames, template.IPAddresses = nil, []net.IP{netip.MustParseAddr(c.certified).AsSlice()}
		}, "", nil)
		l := newLab(t, func(config *va.Config) {
			config.Dial = func(_ context.Context, addr netip.AddrPort) (net.Conn, error) {
				if addr.Addr().String() != c.address {
					t.Errorf("dialled %s", addr)
				}
				ours, theirs := net.Pipe()
				go func() {
					defer theirs.Close()
					_ = tls.Server(theirs, &tls.Config{NextProtos: []string{"acme-tls/1"}, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
						hellos <- hello.ServerName
						return cert, nil
					}}).Handshake()
				}()
				return ours, nil
			}
		})
		result := l.validate(t, request(acme.IdentifierFromIP(netip.MustParseAddr(c.address)), acme.TLSALPN01))
		expect(t, result, c.want, false)
		if sni := <-hellos; sni != c.sni {
			t.Errorf("%s: SNI %q", c.address, sni)
		}
	}
}

// TestTLSALPN01Hello: one protocol, and the name, are all that is asked for.
func TestTLSALPN01Hello(t *testing.T) {
	t.Parallel()
	hellos := make(chan *tls.ClientHelloInfo, 1)
	good := certificate(t, func(*x509.Certificate) {}, "", nil)
	l := rawLab(t, 10*time.Second, func(conn net.Conn) {
		_ = tls.Server(conn, &tls.Config{NextProtos: []string{"acme-tls/1"}, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			hellos <- hello
			return good, nil
		}}).Handshake()
	})
	expect(t, l.validate(t, request(dnsName(t, "a.test"), acme.TLSALPN01)), valid, false)
	hello := <-hellos
	if hello.ServerName != "a.test" || strings.Join(hello.SupportedProtos, " ") != "acme-tls/1" {
		t.Errorf("SNI %q, protocols %q", hello.ServerName, hello.SupportedProtos)
	}
}
