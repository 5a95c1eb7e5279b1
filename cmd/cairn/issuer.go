package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// issuerReader is what issuerHandler reads; sa.Reader has it.
type issuerReader interface {
	Issuer(ctx context.Context, id acme.IssuerID) (acme.Issuer, error)
}

// issuerHandler serves the issuers' certificates at /issuer/{issuer}.der, to
// which the caIssuers of certificates point (RFC 5280 §4.2.2.1): one
// certificate, in DER.
func issuerHandler(store issuerReader) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			rw.Header().Set("Allow", "GET, HEAD")
			http.Error(rw, "issuers are fetched with GET", http.StatusMethodNotAllowed)
			return
		}
		name := strings.TrimPrefix(r.URL.Path, "/issuer/")
		id, err := acme.ParseIssuerID(strings.TrimSuffix(name, ".der"))
		if err != nil || name != id.String()+".der" {
			http.Error(rw, "there is no such issuer; certificates name theirs", http.StatusNotFound)
			return
		}
		issuer, err := store.Issuer(r.Context(), id)
		switch {
		case errors.Is(err, sa.ErrNotFound) || err == nil && (len(issuer.Chains) == 0 || len(issuer.Chains[0]) == 0):
			http.Error(rw, "there is no such issuer; certificates name theirs", http.StatusNotFound)
			return
		case err != nil:
			rw.Header().Set("Retry-After", "5")
			http.Error(rw, "the issuer can't be read at the moment", http.StatusServiceUnavailable)
			return
		}
		der := issuer.Chains[0][0]
		sum := sha256.Sum256(der)
		h := rw.Header()
		h.Set("Content-Type", "application/pkix-cert")
		h.Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
		h.Set("Cache-Control", "max-age=3600, public, no-transform")
		http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(der))
	})
}
