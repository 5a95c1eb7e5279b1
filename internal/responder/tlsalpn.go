package responder

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// acmeTLS is the protocol name of RFC 8737 §6.2.
const acmeTLS = "acme-tls/1"

// oidACMEIdentifier is id-pe-acmeIdentifier, RFC 8737 §6.1.
var oidACMEIdentifier = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}

// alpnAnswer is a certificate that is made when it is first asked for.
type alpnAnswer func() (*tls.Certificate, error)

// SetTLSALPN01 makes the TLS server prove control of a DNS name or an IP
// address (RFC 8737, RFC 8738 §6).
func (r *Responder) SetTLSALPN01(identifier, keyAuthorization string) {
	r.setALPN(serverName(identifier), sync.OnceValues(func() (*tls.Certificate, error) {
		return r.issuer.certificate(identifier, keyAuthorization)
	}))
}

// SetTLSALPNCertificate answers an SNI value with a certificate of the
// caller's making.
func (r *Responder) SetTLSALPNCertificate(sni string, certificate *tls.Certificate) {
	r.setALPN(sni, func() (*tls.Certificate, error) { return certificate, nil })
}

// ClearTLSALPN01 forgets an identifier.
func (r *Responder) ClearTLSALPN01(identifier string) { r.setALPN(serverName(identifier), nil) }

func (r *Responder) setALPN(sni string, answer alpnAnswer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if answer == nil {
		delete(r.alpn, strings.ToLower(sni))
		return
	}
	r.alpn[strings.ToLower(sni)] = &answer
}

// serverName is the SNI that asks for an identifier: for an address the name
// of its reverse zone (RFC 8738 §6).
func serverName(identifier string) string {
	if addr, err := netip.ParseAddr(identifier); err == nil {
		if reverse, err := dns.ReverseAddr(addr.String()); err == nil {
			return strings.TrimSuffix(reverse, ".")
		}
	}
	return identifier
}

func (r *Responder) startTLS() error {
	listener, err := net.Listen("tcp", or(r.config.TLSAddr, "127.0.0.1:0"))
	if err != nil {
		return err
	}
	r.tlsPort = listener.Addr().(*net.TCPAddr).Port
	r.tls = &http.Server{
		Handler:  r,
		ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{
			MinVersion:     tls.VersionTLS12,
			NextProtos:     []string{acmeTLS, "http/1.1"},
			GetCertificate: r.getCertificate,
		},
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){
			acmeTLS: func(_ *http.Server, conn *tls.Conn, _ http.Handler) { _ = conn.Close() },
		},
	}
	r.serving.Go(func() { _ = r.tls.ServeTLS(listener, "", "") })
	return nil
}

func (r *Responder) getCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if !slices.Contains(hello.SupportedProtos, acmeTLS) {
		return r.issuer.web()
	}
	r.mu.RLock()
	answer := r.alpn[strings.ToLower(hello.ServerName)]
	r.mu.RUnlock()
	if answer == nil {
		return nil, fmt.Errorf("no acme-tls/1 certificate for %q", hello.ServerName)
	}
	return (*answer)()
}

// certificateMaker makes self-signed certificates, all with one key.
type certificateMaker struct {
	key *ecdsa.PrivateKey
	web func() (*tls.Certificate, error)
}

func (m *certificateMaker) init() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("generating a key: %w", err)
	}
	m.key = key
	m.web = sync.OnceValues(func() (*tls.Certificate, error) { return m.sign("localhost", nil) })
	return nil
}

func (m *certificateMaker) certificate(identifier, keyAuthorization string) (*tls.Certificate, error) {
	digest := sha256.Sum256([]byte(keyAuthorization))
	value, err := asn1.Marshal(digest[:])
	if err != nil {
		return nil, fmt.Errorf("encoding the acmeIdentifier extension: %w", err)
	}
	return m.sign(identifier, []pkix.Extension{{Id: oidACMEIdentifier, Critical: true, Value: value}})
}

func (m *certificateMaker) sign(identifier string, extensions []pkix.Extension) (*tls.Certificate, error) {
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:    big.NewInt(1),
		Subject:         pkix.Name{CommonName: "Challenge responder"},
		NotBefore:       now.Add(-time.Hour),
		NotAfter:        now.AddDate(1, 0, 0),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtraExtensions: extensions,
	}
	if addr, err := netip.ParseAddr(identifier); err == nil {
		template.IPAddresses = []net.IP{addr.AsSlice()}
	} else {
		template.DNSNames = []string{identifier}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, m.key.Public(), m.key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate for %s: %w", identifier, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: m.key}, nil
}
