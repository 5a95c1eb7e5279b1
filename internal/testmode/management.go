package testmode

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strconv"
	"strings"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// CertificateReader is what the management interface reads from the store.
type CertificateReader interface {
	Certificate(ctx context.Context, serial acme.Serial) (acme.Certificate, error)
}

// ManagementConfig is what a management interface works with.
type ManagementConfig struct {
	Hierarchy *Hierarchy
	Store     CertificateReader
	Renewals  *Renewals
	// Next answers what is none of Pebble's paths.
	Next http.Handler
}

// Management is Pebble's management interface. It hands out private keys.
func Management(cfg ManagementConfig) http.Handler {
	m := management{cfg}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /roots/{n}", m.certificate(func(c Chain) *x509.Certificate { return c.Root }))
	mux.HandleFunc("GET /intermediates/{n}", m.certificate(func(c Chain) *x509.Certificate { return c.Intermediates[0] }))
	mux.HandleFunc("GET /root-keys/{n}", m.key(func(c Chain) crypto.Signer { return c.RootKey }))
	mux.HandleFunc("GET /intermediate-keys/{n}", m.key(func(Chain) crypto.Signer { return cfg.Hierarchy.Signer }))
	mux.HandleFunc("GET /cert-status-by-serial/{serial}", m.status)
	mux.HandleFunc("POST /set-renewal-info/{$}", m.setRenewalInfo)
	mux.Handle("/", cfg.Next)
	return mux
}

type management struct{ ManagementConfig }

// chain finds the chain that the path names, and links to the others.
func (m management) chain(rw http.ResponseWriter, r *http.Request) (Chain, bool) {
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || n < 0 || n >= len(m.Hierarchy.Chains) {
		rw.WriteHeader(http.StatusNotFound)
		return Chain{}, false
	}
	base := "https://" + r.Host + strings.TrimSuffix(r.URL.Path, r.PathValue("n"))
	for other := range m.Hierarchy.Chains {
		if other != n {
			rw.Header().Add("Link", fmt.Sprintf(`<%s%d>;rel="alternate"`, base, other))
		}
	}
	return m.Hierarchy.Chains[n], true
}

func (m management) certificate(of func(Chain) *x509.Certificate) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		chain, ok := m.chain(rw, r)
		if !ok {
			return
		}
		rw.Header().Set("Content-Type", "application/pem-certificate-chain; charset=utf-8")
		_, _ = rw.Write(EncodeCertificate(of(chain).Raw))
	}
}

// EncodeCertificate is a certificate in PEM.
func EncodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func (m management) key(of func(Chain) crypto.Signer) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		chain, ok := m.chain(rw, r)
		if !ok {
			return
		}
		encoded, err := encodeKey(of(chain))
		if err != nil {
			problem(rw, http.StatusInternalServerError, acme.ServerInternal, "the key can't be encoded")
			return
		}
		rw.Header().Set("Content-Type", "application/x-pem-file; charset=utf-8")
		_, _ = rw.Write(encoded)
	}
}

// encodeKey is a private key in the PEM form of its kind. Pebble serves RSA
// keys only.
func encodeKey(signer crypto.Signer) ([]byte, error) {
	switch k := signer.(type) {
	case *rsa.PrivateKey:
		return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}), nil
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(k)
		if err != nil {
			return nil, err
		}
		return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
	}
	return nil, fmt.Errorf("a key of type %T can't be encoded", signer)
}

// statusDocument says how a certificate stands.
type statusDocument struct {
	Status      string
	Serial      string
	Certificate string
	Reason      *int   `json:",omitempty"`
	RevokedAt   string `json:",omitempty"`
}

func (m management) status(rw http.ResponseWriter, r *http.Request) {
	n, ok := new(big.Int).SetString(r.PathValue("serial"), 16)
	if !ok {
		rw.WriteHeader(http.StatusBadRequest)
		return
	}
	serial, err := acme.SerialFromBig(n)
	if err != nil {
		rw.WriteHeader(http.StatusNotFound)
		return
	}
	cert, err := m.Store.Certificate(r.Context(), serial)
	switch {
	case errors.Is(err, sa.ErrNotFound) || err == nil && cert.DER == nil:
		rw.WriteHeader(http.StatusNotFound)
		return
	case err != nil:
		problem(rw, http.StatusInternalServerError, acme.ServerInternal, "the certificate can't be read")
		return
	}
	document := statusDocument{Status: "Valid", Serial: n.Text(16), Certificate: string(EncodeCertificate(cert.DER))}
	if rev := cert.Revocation; rev != nil {
		document.Status = "Revoked"
		document.RevokedAt = rev.At.UTC().String()
		if rev.Reason != 0 { // a client that gave none reads as one that gave 0
			reason := int(rev.Reason)
			document.Reason = &reason
		}
	}
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	encoder := json.NewEncoder(rw)
	encoder.SetIndent("", "   ")
	_ = encoder.Encode(document)
}

// maxRenewalInfo bounds a request to set a renewalInfo answer, in bytes.
const maxRenewalInfo = 1 << 20

func (m management) setRenewalInfo(rw http.ResponseWriter, r *http.Request) {
	var request struct{ Certificate, ARIResponse string }
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxRenewalInfo))
	if err != nil || json.Unmarshal(body, &request) != nil {
		problem(rw, http.StatusBadRequest, acme.Malformed, `the request is no JSON object with "Certificate" and "ARIResponse"`)
		return
	}
	block, _ := pem.Decode([]byte(request.Certificate))
	if block == nil || block.Type != "CERTIFICATE" {
		problem(rw, http.StatusBadRequest, acme.Malformed, `"Certificate" is no certificate in PEM form`)
		return
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		problem(rw, http.StatusBadRequest, acme.Malformed, `"Certificate" can't be parsed`)
		return
	}
	serial, err := acme.SerialFromBig(cert.SerialNumber)
	if err != nil {
		problem(rw, http.StatusBadRequest, acme.Malformed, `"Certificate" has no legal serial number`)
		return
	}
	switch _, err := m.Store.Certificate(r.Context(), serial); {
	case errors.Is(err, sa.ErrNotFound):
		problem(rw, http.StatusNotFound, acme.Malformed, "this server has issued no such certificate")
	case err != nil:
		problem(rw, http.StatusInternalServerError, acme.ServerInternal, "the certificate can't be read")
	default:
		m.Renewals.Set(serial, request.ARIResponse)
	}
}

func problem(rw http.ResponseWriter, status int, kind acme.ProblemType, detail string) {
	rw.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(map[string]any{"type": acme.ProblemNamespace + string(kind), "detail": detail, "status": status})
}
