package ceremony

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
)

// record is what the ceremony made, for people.
func (m *maker) record(dry bool) []byte {
	var r recorder
	r.line("Ceremony of", m.now.Format(time.RFC3339))
	for _, l := range m.Header {
		r.field(l.Name, l.Value)
	}
	if dry {
		r.text("\nDRY RUN: nothing was written. The keys, serial numbers and hashes below are those\nof the dry run alone, and existing keys signed nothing.")
	}
	for _, e := range m.Plan.Existing {
		r.heading("existing CA", e.Name)
		r.certificate(e.Certificate)
		if e.Key != nil {
			r.field("key in", e.Key.String())
		}
	}
	for _, a := range m.artefacts {
		r.heading(a.kind, a.name)
		r.field("file", a.file.path)
		switch {
		case a.cert != nil:
			r.certificate(a.cert)
		case a.list != nil:
			r.list(a.list)
		default:
			for _, cert := range a.chain {
				r.field("certificate", cert.Subject.String())
			}
		}
		if a.key != nil {
			r.field("key in", keyPlace(*a.key))
		}
		r.field("SHA-256", colons(sum(a.raw())))
		if a.chain == nil {
			r.lints(a.findings)
		}
	}
	if !dry {
		r.text("\nEvery file was read back from the disk and verified: signatures, chains, keys,\nand the extensions of OCSP signers.")
	}
	return r.Bytes()
}

// raw is what the artefact's hash is of: the DER of a certificate or CRL.
func (a artefact) raw() []byte {
	if a.cert != nil {
		return a.cert.Raw
	}
	return a.file.data
}

func keyPlace(k Key) string {
	switch {
	case k.PKCS11 != "":
		return k.PKCS11
	case k.Passphrase != nil:
		return k.File + " (encrypted)"
	}
	return k.File + " (not encrypted)"
}

// recorder writes a record: names in a column, values beside them.
type recorder struct{ bytes.Buffer }

func (r *recorder) text(s string)           { fmt.Fprintln(r, s) }
func (r *recorder) line(name, value string) { fmt.Fprintf(r, "%s %s\n", name, value) }
func (r *recorder) heading(kind, name string) {
	fmt.Fprintf(r, "\n%s\n", strings.TrimSpace(kind+" "+name))
}
func (r *recorder) field(name, value string) { fmt.Fprintf(r, "  %-16s %s\n", name, printable(value)) }

// printable keeps what a certificate says from steering a terminal.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			return '?'
		}
		return c
	}, s)
}

func (r *recorder) certificate(cert *x509.Certificate) {
	r.field("subject", cert.Subject.String())
	r.field("issuer", cert.Issuer.String())
	r.field("serial", serialText(cert))
	r.field("valid from", cert.NotBefore.UTC().Format(time.RFC3339))
	r.field("valid until", cert.NotAfter.UTC().Format(time.RFC3339))
	r.field("signature", cert.SignatureAlgorithm.String())
	if cert.IsCA && (cert.MaxPathLen > 0 || cert.MaxPathLenZero) {
		r.field("path length", fmt.Sprint(cert.MaxPathLen))
	}
	for _, name := range cert.PermittedDNSDomains {
		r.field("permitted", name)
	}
	for _, addresses := range cert.PermittedIPRanges {
		r.field("permitted", addresses.String())
	}
	r.field("key", KeyText(cert.PublicKey))
	r.field("key SHA-256", colons(sum(cert.RawSubjectPublicKeyInfo)))
	if len(cert.SubjectKeyId) > 0 {
		r.field("key identifier", hex.EncodeToString(cert.SubjectKeyId))
	}
}

func (r *recorder) list(list *x509.RevocationList) {
	r.field("issuer", list.Issuer.String())
	r.field("number", list.Number.String())
	r.field("this update", list.ThisUpdate.UTC().Format(time.RFC3339))
	r.field("next update", list.NextUpdate.UTC().Format(time.RFC3339))
	r.field("revoked", fmt.Sprint(len(list.RevokedCertificateEntries)))
	for _, e := range list.RevokedCertificateEntries {
		r.field("", fmt.Sprintf("%x, %s, %s", e.SerialNumber, e.RevocationTime.UTC().Format(time.RFC3339), acme.RevocationReason(e.ReasonCode)))
	}
}

func (r *recorder) lints(findings []string) {
	if len(findings) == 0 {
		r.field("lints", "no findings")
	}
	for _, f := range findings {
		r.field("lints", f)
	}
}

// KeyText is the kind and the size of a public key.
func KeyText(public any) string {
	if k, ok := public.(*rsa.PublicKey); ok {
		return fmt.Sprintf("RSA, %d bits", k.N.BitLen())
	}
	t, err := key.TypeOf(public)
	if err != nil {
		return "unknown"
	}
	return map[key.Type]string{key.P256: "ECDSA P-256", key.P384: "ECDSA P-384", key.P521: "ECDSA P-521", key.Ed25519: "Ed25519"}[t]
}

func serialText(cert *x509.Certificate) string {
	serial, err := acme.SerialFromBig(cert.SerialNumber)
	if err != nil {
		return "none that is valid"
	}
	return serial.String()
}

func sum(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:]
}

// colons writes a hash as OpenSSL's -fingerprint does.
func colons(b []byte) string {
	parts := make([]string, len(b))
	for i, c := range b {
		parts[i] = fmt.Sprintf("%02X", c)
	}
	return strings.Join(parts, ":")
}
