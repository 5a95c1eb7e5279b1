package conformance

import (
	"crypto/x509"
	"encoding/asn1"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// certID names a certificate in a renewalInfo URL (RFC 9773 §4.1).
func certID(t *testing.T, cert *x509.Certificate) string {
	t.Helper()
	der, err := asn1.Marshal(cert.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	var serial asn1.RawValue
	if _, err := asn1.Unmarshal(der, &serial); err != nil {
		t.Fatal(err)
	}
	return rawacme.B64(cert.AuthorityKeyId) + "." + rawacme.B64(serial.Bytes)
}

type renewalInfo struct {
	Window struct {
		Start time.Time `json:"start"`
		End   time.Time `json:"end"`
	} `json:"suggestedWindow"`
}

// RFC 9773 §4.2: the window of a certificate, by a plain GET.
func TestRenewalInfo(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	if c.Directory.RenewalInfo == "" {
		t.Fatal("the directory has no renewalInfo")
	}
	issued := s.Issue(t, c, "http-01", harness.NewName("ari"))
	leaf := issued.Leaf()
	url := c.Directory.RenewalInfo + "/" + certID(t, leaf)
	ask := func() renewalInfo {
		t.Helper()
		resp := c.Do(t, http.MethodGet, url, nil, nil)
		resp.Want(t, http.StatusOK)
		checkCommon(t, c, resp)
		if media := mediaType(resp); media != "application/json" {
			t.Errorf("Content-Type %q", media)
		}
		// Whole seconds: a date breaks clients in the field, and none at all
		// is an error to others (§4.3).
		if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || after < 60 {
			t.Errorf("Retry-After is %q", resp.Header.Get("Retry-After"))
		}
		var info renewalInfo
		resp.JSON(t, &info)
		if !info.Window.End.After(info.Window.Start) {
			t.Errorf("the window is %+v", info.Window)
		}
		return info
	}
	first := ask()
	if middle := leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2); first.Window.Start.Before(middle) || first.Window.End.After(leaf.NotAfter) {
		t.Errorf("renew %+v, for a certificate from %v to %v", first.Window, leaf.NotBefore, leaf.NotAfter)
	}
	if again := ask(); !again.Window.Start.Equal(first.Window.Start) || !again.Window.End.Equal(first.Window.End) {
		t.Errorf("the window moved from %+v to %+v", first.Window, again.Window)
	}
	// §4.2: a revoked certificate's window is in the past.
	c.Revoke(t, leaf.Raw, 4).Want(t, http.StatusOK)
	if info := ask(); !info.Window.End.Before(time.Now()) {
		t.Errorf("after the revocation the window is %+v", info.Window)
	}
}

// RFC 9773 §4.1: what names no certificate.
func TestRenewalInfoUnknown(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	issued := s.Issue(t, c, "http-01", harness.NewName("ari"))
	id := certID(t, issued.Leaf())
	aki, serial := id[:len(rawacme.B64(issued.Leaf().AuthorityKeyId))], id[len(rawacme.B64(issued.Leaf().AuthorityKeyId))+1:]
	for _, test := range []struct {
		name, id string
		status   int
	}{
		{"another serial", aki + "." + rawacme.B64([]byte{1, 2, 3, 4}), http.StatusNotFound},
		{"another issuer", rawacme.B64(make([]byte, 20)) + "." + serial, http.StatusNotFound},
		{"no dot", aki + serial, http.StatusBadRequest},
		{"two dots", id + ".AA", http.StatusBadRequest},
		{"no serial", aki + ".", http.StatusBadRequest},
		{"no issuer", "." + serial, http.StatusBadRequest},
		{"padded", id + "=", http.StatusBadRequest},
		{"not base64url", "a+b." + serial, http.StatusBadRequest},
		{"negative serial", aki + "." + rawacme.B64([]byte{0xff}), http.StatusBadRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			resp := c.Do(t, http.MethodGet, c.Directory.RenewalInfo+"/"+test.id, nil, nil)
			checkCommon(t, c, resp)
			problem(t, resp, "malformed", test.status)
		})
	}
	resp := c.Do(t, http.MethodDelete, c.Directory.RenewalInfo+"/"+id, nil, nil)
	checkMethodNotAllowed(t, c, http.MethodDelete, resp, http.MethodGet)
}
