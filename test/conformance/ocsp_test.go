package conformance

import (
	"bytes"
	"encoding/asn1"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/crypto/ocsp"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// The role ocsp runs alone, on a read replica of the store and the delegated
// signer's files: when everything else is down, it still answers.
func TestOCSPReplica(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{Wiring: harness.Wiring{Roles: true, Postgres: true}, ReadReplica: true})
	c := s.Account(t)
	kept, lost := s.Issue(t, c, "http-01", harness.NewName("replica")).Certificate, s.Issue(t, c, "http-01", harness.NewName("replica")).Certificate
	shows := func(cert harness.Certificate, status int) {
		t.Helper()
		rawacme.Poll(t, "the replica follows", func() bool { return s.OCSP(t, cert, http.MethodPost).Status == status })
	}
	shows(kept, ocsp.Good)
	shows(lost, ocsp.Good)
	c.Revoke(t, lost.Leaf().Raw, 4).Want(t, http.StatusOK)
	shows(lost, ocsp.Revoked)
	s.CheckRevoked(t, lost, 4) // in the CRL too
	s.Kill("wfe", "ra", "va", "ca", "sa")
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if got := s.OCSP(t, kept, method).Status; got != ocsp.Good {
			t.Errorf("%s: status %d, want good", method, got)
		}
		if got := s.OCSP(t, lost, method).Status; got != ocsp.Revoked {
			t.Errorf("%s: status %d, want revoked", method, got)
		}
	}
}

// RFC 9654 §2.1: a responder may leave the nonce out; then all get one answer
// (RFC 5019).
func TestOCSPNonce(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{"honored", "ignored"} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			s := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
				config["ca"].(map[string]any)["ocsp_nonce"] = setting
			}})
			cert := s.Issue(t, s.Account(t), "http-01", harness.NewName("nonce"))
			nonce := bytes.Repeat([]byte{7}, 32)
			request := withNonce(t, cert.Certificate, nonce)
			var answers [2][]byte
			for i := range answers {
				status, header, body := s.SendOCSP(t, cert.Leaf().OCSPServer[0], http.MethodGet, request)
				if status != http.StatusOK {
					t.Fatalf("status %d", status)
				}
				if private := header.Get("Cache-Control") == "no-store"; private != (setting == "honored") {
					t.Errorf("Cache-Control %q", header.Get("Cache-Control"))
				}
				if _, err := ocsp.ParseResponseForCert(body, cert.Leaf(), cert.Issuer()); err != nil {
					t.Fatal(err)
				}
				if has := bytes.Contains(body, nonce); has != (setting == "honored") {
					t.Errorf("the answer has the nonce: %v", has)
				}
				answers[i] = body
			}
			if same := bytes.Equal(answers[0], answers[1]); setting == "ignored" && !same {
				t.Error("it was signed twice")
			}
		})
	}
}

// withNonce is a request for a certificate with a nonce (RFC 9654 §2.1).
func withNonce(t *testing.T, c harness.Certificate, nonce []byte) []byte {
	t.Helper()
	plain, err := ocsp.CreateRequest(c.Leaf(), c.Issuer(), nil)
	if err != nil {
		t.Fatal(err)
	}
	type extension struct {
		ID    asn1.ObjectIdentifier
		Value []byte
	}
	var request struct {
		TBS struct {
			Requests   asn1.RawValue
			Extensions []extension `asn1:"explicit,tag:2,optional"`
		}
	}
	if rest, err := asn1.Unmarshal(plain, &request); err != nil || len(rest) > 0 {
		t.Fatal(err)
	}
	value, err := asn1.Marshal(nonce)
	if err != nil {
		t.Fatal(err)
	}
	request.TBS.Extensions = []extension{{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}, value}}
	der, err := asn1.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Baseline Requirements §4.9.10: a serial number that was not issued is never
// good; RFC 5019 §2.2.3: an issuer that is not ours gets unauthorized.
func TestOCSPStrangers(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	cert := s.Issue(t, s.Account(t), "http-01", harness.NewName("stranger")).Certificate
	ask := func(change func(*ocsp.Request)) (*ocsp.Response, error) {
		der, err := ocsp.CreateRequest(cert.Leaf(), cert.Issuer(), nil)
		if err != nil {
			t.Fatal(err)
		}
		request, err := ocsp.ParseRequest(der)
		if err != nil {
			t.Fatal(err)
		}
		change(request)
		if der, err = request.Marshal(); err != nil {
			t.Fatal(err)
		}
		_, _, body := s.SendOCSP(t, cert.Leaf().OCSPServer[0], http.MethodPost, der)
		return ocsp.ParseResponse(body, cert.Issuer())
	}
	unissued, err := ask(func(r *ocsp.Request) { r.SerialNumber.Add(r.SerialNumber, r.SerialNumber.Lsh(r.SerialNumber, 1)) })
	if err != nil || unissued.Status != ocsp.Unknown {
		t.Errorf("a serial number that was not issued: %+v, %v", unissued, err)
	}
	_, err = ask(func(r *ocsp.Request) { r.IssuerKeyHash[0] ^= 1 })
	if err == nil || !strings.Contains(err.Error(), "unauthorized") {
		t.Errorf("another issuer: %v", err)
	}
}
