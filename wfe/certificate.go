package wfe

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// certificate hands a certificate out (RFC 8555 §7.4.2): with its chain in
// PEM or, when the client accepts only that, alone in DER. A revoked
// certificate is still served: clients fetch it again to see what they had.
func (w *WFE) certificate(r *request) (*response, error) {
	if err := r.onlyAsGet(); err != nil {
		return nil, err
	}
	serial, err := acme.ParseSerial(r.param("serial"))
	if err != nil || serial.String() != r.param("serial") {
		return nil, noSuch("certificate")
	}
	cert, err := w.Store.Certificate(r.Context(), serial)
	if errors.Is(err, sa.ErrNotFound) || err == nil && cert.DER == nil {
		return nil, noSuch("certificate")
	}
	if err != nil {
		return nil, fmt.Errorf("reading certificate %s: %w", serial, err)
	}
	if cert.Account != r.account.ID {
		return nil, notYours("certificate")
	}
	chain := func(n int) string { return r.dir.certificateURL(serial, n) }
	return w.serveCertificate(r, cert, chain)
}

// serveCertificate answers with a certificate in the form that the client
// accepts. chainURL is the URL of the same certificate with its n-th chain.
func (w *WFE) serveCertificate(r *request, cert acme.Certificate, chainURL func(n int) string) (*response, error) {
	issuer, err := w.issuer(r.Context(), cert.Issuer)
	if err != nil {
		return nil, fmt.Errorf("reading the issuer of certificate %s: %w", cert.Serial, err)
	}
	n, err := chainIndex(r.param("chain"), len(issuer.Chains))
	if err != nil {
		return nil, err
	}
	switch accepted(r.Header.Values("Accept")) {
	case pemChain:
		resp := &response{raw: encodeChain(cert.DER, issuer.Chains[n]), contentType: pemChain}
		for other := range issuer.Chains {
			if other != n {
				resp.links = append(resp.links, link(chainURL(other), "alternate"))
			}
		}
		return resp, nil
	case derCertificate:
		return &response{raw: cert.DER, contentType: derCertificate, links: issuerLinks(cert.DER)}, nil
	}
	return nil, acme.NewProblem(acme.Malformed, "certificates are served as %s or %s", pemChain, derCertificate).WithStatus(http.StatusNotAcceptable)
}

// issuerLinks point from a certificate that is served alone to its issuer, at
// the URL that the certificate itself gives (RFC 8555 §7.4.2).
func issuerLinks(der []byte) []string {
	cert, err := x509.ParseCertificate(der)
	if err != nil || len(cert.IssuingCertificateURL) == 0 {
		return nil
	}
	return []string{link(cert.IssuingCertificateURL[0], "up")}
}

// cachedIssuer is an issuer's chains as they were at a moment: an operator
// adds one now and then.
type cachedIssuer struct {
	acme.Issuer
	until time.Time
}

const issuerTTL = time.Minute

func (w *WFE) issuer(ctx context.Context, id acme.IssuerID) (acme.Issuer, error) {
	if cached, ok := w.issuers.Load(id); ok && w.Now().Before(cached.(*cachedIssuer).until) {
		return cached.(*cachedIssuer).Issuer, nil
	}
	issuer, err := w.Store.Issuer(ctx, id)
	if err != nil {
		return acme.Issuer{}, err
	}
	w.issuers.Store(id, &cachedIssuer{issuer, w.Now().Add(issuerTTL)})
	return issuer, nil
}

const (
	pemChain       = "application/pem-certificate-chain"
	derCertificate = "application/pkix-cert"
)

func chainIndex(param string, chains int) (int, error) {
	if param == "" {
		if chains == 0 {
			return 0, errors.New("the issuer has no chain")
		}
		return 0, nil
	}
	n, err := strconv.Atoi(param)
	if err != nil || n < 1 || n >= chains || strconv.Itoa(n) != param {
		return 0, noSuch("certificate chain")
	}
	return n, nil
}

// accepted chooses between the two forms by the Accept header (RFC 8555
// §7.4.2): the PEM chain unless the client prefers, or takes only, DER.
func accepted(accept []string) string {
	best, bestQuality := "", 0.0
	any := false
	for _, part := range strings.Split(strings.Join(accept, ","), ",") {
		mediaType, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		any = true
		quality := 1.0
		if q, ok := params["q"]; ok {
			if quality, err = strconv.ParseFloat(q, 64); err != nil {
				continue
			}
		}
		switch mediaType {
		case "*/*", "application/*":
			mediaType = pemChain
		case pemChain, derCertificate:
		default:
			continue
		}
		if quality > bestQuality || quality == bestQuality && mediaType == pemChain && quality > 0 {
			best, bestQuality = mediaType, quality
		}
	}
	if !any {
		return pemChain
	}
	return best
}

// encodeChain writes certificates in the strict form of RFC 7468 §5, leaf
// first, with no text between them.
func encodeChain(leaf []byte, chain [][]byte) []byte {
	var b bytes.Buffer
	for _, der := range append([][]byte{leaf}, chain...) {
		// Encode fails when the writer does, and a Buffer doesn't.
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	return b.Bytes()
}
