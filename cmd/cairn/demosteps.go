package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/ocsp"

	"github.com/cairn-ca/cairn/internal/responder"
)

// demonstration is a client of the CA, and the holder of the names that it
// gets certificates for.
type demonstration struct {
	names *responder.Responder
	where serving
	say   func(format string, args ...any)

	roots  *x509.CertPool
	client *acme.Client
}

// issued is a certificate with its issuer's.
type issued struct {
	leaf, issuer *x509.Certificate
	chain        [][]byte
	name         string
}

func (d *demonstration) run(ctx context.Context) error {
	if err := d.connect(ctx); err != nil {
		return err
	}
	var certificates []issued
	for _, challenge := range []string{"http-01", "dns-01", "tls-alpn-01"} {
		cert, err := d.obtain(ctx, challenge)
		if err != nil {
			return fmt.Errorf("obtaining a certificate over %s: %w", challenge, err)
		}
		certificates = append(certificates, cert)
	}
	return d.revoke(ctx, certificates[0], certificates[1])
}

// connect trusts the CA's root and creates an account.
func (d *demonstration) connect(ctx context.Context) error {
	root, err := os.ReadFile(d.where.Root)
	if err != nil {
		return fmt.Errorf("reading the root certificate: %w", err)
	}
	d.roots = x509.NewCertPool()
	if !d.roots.AppendCertsFromPEM(root) {
		return fmt.Errorf("there is no certificate in %s", d.where.Root)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making an account key: %w", err)
	}
	d.client = &acme.Client{
		Key:          key,
		DirectoryURL: d.where.Directory,
		UserAgent:    "cairn-demo",
		HTTPClient: &http.Client{
			Timeout:   30 * time.Second,
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: d.roots}, ForceAttemptHTTP2: true},
		},
	}
	account, err := d.client.Register(ctx, &acme.Account{}, acme.AcceptTOS)
	if err != nil {
		return fmt.Errorf("creating an account: %w", err)
	}
	d.say("The CA is ready: its directory is %s.", d.where.Directory)
	d.say("Created an account, %s.", account.URI)
	return nil
}

// obtain gets a certificate for a name, whose control it proves by the
// challenge, and verifies it.
func (d *demonstration) obtain(ctx context.Context, challenge string) (issued, error) {
	name := challenge + "." + demoZone
	d.say("\n%s, over %s:", name, challenge)
	order, err := d.client.AuthorizeOrder(ctx, acme.DomainIDs(name))
	if err != nil {
		return issued{}, fmt.Errorf("ordering: %w", err)
	}
	for _, url := range order.AuthzURLs {
		if err := d.prove(ctx, url, challenge); err != nil {
			return issued{}, err
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issued{}, fmt.Errorf("making a key: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{name}}, key)
	if err != nil {
		return issued{}, fmt.Errorf("making a certificate request: %w", err)
	}
	if order, err = d.client.WaitOrder(ctx, order.URI); err != nil {
		return issued{}, fmt.Errorf("waiting for the order: %w", err)
	}
	chain, _, err := d.client.CreateOrderCert(ctx, order.FinalizeURL, csr, true)
	if err != nil {
		return issued{}, fmt.Errorf("finalizing: %w", err)
	}
	cert, err := d.verify(name, chain)
	if err != nil {
		return issued{}, err
	}
	d.say("  issued   serial %040x, valid until %s", cert.leaf.SerialNumber, cert.leaf.NotAfter.Format(time.RFC3339))
	d.say("  verified the chain: %s, signed by %q, below the root in %s", name, cert.issuer.Subject.CommonName, d.where.Root)
	return cert, nil
}

// prove answers the challenge of an authorization.
func (d *demonstration) prove(ctx context.Context, url, challenge string) error {
	authorization, err := d.client.GetAuthorization(ctx, url)
	if err != nil {
		return fmt.Errorf("reading the authorization: %w", err)
	}
	for _, c := range authorization.Challenges {
		if c.Type != challenge {
			continue
		}
		if err := d.answer(c, authorization.Identifier.Value); err != nil {
			return err
		}
		if c, err = d.client.Accept(ctx, c); err != nil {
			return fmt.Errorf("responding to the challenge: %w", err)
		}
		if c.Status != acme.StatusValid {
			if _, err := d.client.WaitAuthorization(ctx, url); err != nil {
				return fmt.Errorf("the CA did not accept the proof: %w", err)
			}
		}
		d.say("  proved   control of %s", authorization.Identifier.Value)
		return nil
	}
	return fmt.Errorf("the CA offers no %s challenge", challenge)
}

// answer puts the proof where the CA looks for it.
func (d *demonstration) answer(c *acme.Challenge, name string) error {
	switch c.Type {
	case "http-01":
		response, err := d.client.HTTP01ChallengeResponse(c.Token)
		if err != nil {
			return fmt.Errorf("making the key authorization: %w", err)
		}
		d.names.SetHTTP01(c.Token, response)
		d.say("  answered with a file, http://%s%s", name, d.client.HTTP01ChallengePath(c.Token))
	case "dns-01":
		record, err := d.client.DNS01ChallengeRecord(c.Token)
		if err != nil {
			return fmt.Errorf("making the key authorization: %w", err)
		}
		d.names.SetTXT("_acme-challenge."+name, record)
		d.say("  answered with a record, _acme-challenge.%s TXT %q", name, record)
	case "tls-alpn-01":
		response, err := d.client.HTTP01ChallengeResponse(c.Token) // the key authorization
		if err != nil {
			return fmt.Errorf("making the key authorization: %w", err)
		}
		d.names.SetTLSALPN01(name, response)
		d.say("  answered with a self-signed certificate for the TLS protocol acme-tls/1")
	}
	return nil
}

func (d *demonstration) verify(name string, chain [][]byte) (issued, error) {
	if len(chain) < 2 {
		return issued{}, fmt.Errorf("the chain has %d certificates, too few", len(chain))
	}
	intermediates := x509.NewCertPool()
	var parsed []*x509.Certificate
	for i, der := range chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return issued{}, fmt.Errorf("reading the chain: %w", err)
		}
		if i > 0 {
			intermediates.AddCert(cert)
		}
		parsed = append(parsed, cert)
	}
	if _, err := parsed[0].Verify(x509.VerifyOptions{DNSName: name, Roots: d.roots, Intermediates: intermediates}); err != nil {
		return issued{}, fmt.Errorf("verifying the chain: %w", err)
	}
	return issued{leaf: parsed[0], issuer: parsed[1], chain: chain, name: name}, nil
}

// revoke revokes a certificate and shows that OCSP and the CRL say so, of it
// and not of another one.
func (d *demonstration) revoke(ctx context.Context, revoked, other issued) error {
	d.say("\nRevoking the certificate for %s:", revoked.name)
	if err := d.client.RevokeCert(ctx, nil, revoked.leaf.Raw, acme.CRLReasonSuperseded); err != nil {
		return fmt.Errorf("revoking: %w", err)
	}
	d.say("  revoked  serial %040x, reason superseded", revoked.leaf.SerialNumber)
	for _, check := range []struct {
		cert issued
		want int
		text string
	}{{revoked, ocsp.Revoked, "revoked"}, {other, ocsp.Good, "good"}} {
		answer, err := d.askOCSP(ctx, check.cert)
		if err != nil {
			return fmt.Errorf("asking OCSP about %s: %w", check.cert.name, err)
		}
		if answer.Status != check.want {
			return fmt.Errorf("OCSP says status %d of %s, and not %s", answer.Status, check.cert.name, check.text)
		}
		d.say("  OCSP     says %s of %s, signed by a delegated responder", check.text, check.cert.name)
	}
	crl, err := d.awaitCRL(ctx, revoked)
	if err != nil {
		return fmt.Errorf("fetching the CRL: %w", err)
	}
	if listed(crl, other) {
		return fmt.Errorf("the CRL lists %s, which is not revoked", other.name)
	}
	d.say("  CRL      number %s lists it, and not %s", crl.Number, other.name)
	return nil
}

// askOCSP asks the responder that the certificate names, and verifies the
// answer.
func (d *demonstration) askOCSP(ctx context.Context, cert issued) (*ocsp.Response, error) {
	if len(cert.leaf.OCSPServer) == 0 {
		return nil, errors.New("the certificate names no responder")
	}
	request, err := ocsp.CreateRequest(cert.leaf, cert.issuer, &ocsp.RequestOptions{Hash: crypto.SHA1})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, cert.leaf.OCSPServer[0], bytes.NewReader(request))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/ocsp-request")
	body, err := fetch(req)
	if err != nil {
		return nil, err
	}
	return ocsp.ParseResponseForCert(body, cert.leaf, cert.issuer)
}

// awaitCRL waits until the CRL that the certificate names lists it.
func (d *demonstration) awaitCRL(ctx context.Context, cert issued) (*x509.RevocationList, error) {
	if len(cert.leaf.CRLDistributionPoints) == 0 {
		return nil, errors.New("the certificate names no CRL")
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, cert.leaf.CRLDistributionPoints[0], nil)
		if err != nil {
			return nil, err
		}
		body, err := fetch(req)
		if err != nil {
			return nil, err
		}
		crl, err := x509.ParseRevocationList(body)
		if err != nil {
			return nil, err
		}
		if err := crl.CheckSignatureFrom(cert.issuer); err != nil {
			return nil, fmt.Errorf("its signature: %w", err)
		}
		if listed(crl, cert) {
			return crl, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("it does not list the certificate: %w", context.Cause(ctx))
		}
	}
}

func listed(crl *x509.RevocationList, cert issued) bool {
	for _, entry := range crl.RevokedCertificateEntries {
		if entry.SerialNumber.Cmp(cert.leaf.SerialNumber) == 0 {
			return true
		}
	}
	return false
}

// fetch sends a request that needs no trust: what comes back is signed.
func fetch(req *http.Request) ([]byte, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: %s: %s", req.Method, req.URL, resp.Status, strings.TrimSpace(string(body)))
	}
	return body, nil
}
