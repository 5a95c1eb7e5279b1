package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/ca/crl"
	"github.com/cairn-ca/cairn/ca/ocsp"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/telemetry"
	"github.com/cairn-ca/cairn/sa"
)

const ocspPath = "/ocsp"

// newPublic builds what relying parties ask: OCSP, CRLs and issuers. The
// process is ready when there is an OCSP signer for every issuer.
func (n *instance) newPublic(store sa.Reader, signers ocsp.Signers) (http.Handler, error) {
	responder, err := ocsp.New(ocsp.Config{
		Store:    store,
		Signers:  signers,
		Path:     ocspPath,
		Lifetime: n.cfg.CA.OCSPLifetime,

		IgnoreNonce: n.cfg.CA.OCSPNonce == "ignored",

		Now:     n.now,
		Random:  n.random,
		Logger:  n.log("ocsp"),
		Metrics: n.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("setting up the OCSP responder: %w", err)
	}
	metrics, err := telemetry.NewHTTPMetrics(n.metrics, "public", n.now)
	if err != nil {
		return nil, err
	}
	n.health.Add("OCSP signers", func(ctx context.Context) error { return checkSigners(ctx, store, signers) })
	others := http.NotFoundHandler()
	if folder := n.cfg.PublicFiles; folder != "" {
		others = publicFiles{folder: folder, now: n.now, logger: n.log("public")}
	}
	return &public{
		ocsp:   metrics.Endpoint("ocsp", responder),
		crl:    metrics.Endpoint("crl", crl.Handler(store, n.now)),
		issuer: metrics.Endpoint("issuer", issuerHandler(store)),
		others: metrics.Endpoint("files", others),
	}, nil
}

// checkSigners finds an issuer without an OCSP signer.
func checkSigners(ctx context.Context, store sa.Reader, signers ocsp.Signers) error {
	issuers, err := store.Issuers(ctx)
	if err != nil {
		return fmt.Errorf("reading the issuers: %w", err)
	}
	if len(issuers) == 0 {
		return errors.New("the signing authority has told the store of no issuer yet")
	}
	for _, issuer := range issuers {
		if _, err := signers.OCSPSigner(issuer.ID); err != nil {
			return fmt.Errorf("issuer %s: %w", issuer.ID, err)
		}
	}
	return nil
}

// public tells the resources of the public listener apart. It is no
// http.ServeMux, which would clean the paths of OCSP requests and so change
// them.
type public struct{ ocsp, crl, issuer, others http.Handler }

func (p *public) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == ocspPath || strings.HasPrefix(path, ocspPath+"/"):
		p.ocsp.ServeHTTP(rw, r)
	case strings.HasPrefix(path, "/crl/"):
		p.crl.ServeHTTP(rw, r)
	case strings.HasPrefix(path, "/issuer/"):
		p.issuer.ServeHTTP(rw, r)
	default:
		p.others.ServeHTTP(rw, r)
	}
}

// folderSigners are the OCSP signers in a folder that a signing authority
// elsewhere keeps. They are read again now and then, as they get replaced.
type folderSigners struct {
	folder string
	now    func() time.Time

	mu   sync.Mutex
	read map[acme.IssuerID]folderSigner
}

type folderSigner struct {
	ocsp.Signer
	at time.Time
}

// signersEvery is how long a signer that was read is used before it is read
// again; it is replaced weeks before it expires.
const signersEvery = time.Minute

func (f *folderSigners) OCSPSigner(issuer acme.IssuerID) (ocsp.Signer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	kept, ok := f.read[issuer]
	if ok && now.Sub(kept.at) < signersEvery {
		return kept.Signer, nil
	}
	s, err := ca.LoadOCSPSigner(f.folder, issuer)
	switch {
	case err == nil:
		kept = folderSigner{ocsp.Signer{Key: s.Signer, Certificate: s.Certificate}, now}
	case ok:
		// The files are being replaced, perhaps: the old signer still serves.
		kept.at = now
	default:
		return ocsp.Signer{}, fmt.Errorf("%w; see ca.ocsp_signers in docs/configuration.md", err)
	}
	if f.read == nil {
		f.read = make(map[acme.IssuerID]folderSigner)
	}
	f.read[issuer] = kept
	return kept.Signer, nil
}
