// Package audit reads every certificate that was issued again, and holds it to
// what was true when it was issued: its profile, the lints, its order, the
// authorizations and the CAA checks that were relied on. It changes nothing.
package audit

import (
	"context"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// Store is what an audit reads.
type Store interface {
	Account(ctx context.Context, id acme.ID) (acme.Account, error)
	Order(ctx context.Context, id acme.ID) (acme.Order, error)
	Authorization(ctx context.Context, id acme.ID) (acme.Authorization, error)
	Issuers(ctx context.Context) ([]acme.Issuer, error)
	Certificates(ctx context.Context, page sa.CertificatePage) ([]acme.Certificate, error)
	KeyBlocked(ctx context.Context, spkiSHA256 [32]byte) (bool, error)
}

// The checks beside those of ca.Inspector.
const (
	CheckAccount       = "account"       // the account is there, and its key is not the certificate's
	CheckOrder         = "order"         // the order is there and led to this certificate
	CheckAuthorization = "authorization" // each name was authorized when the certificate was issued
	CheckCAA           = "caa"           // CAA was checked within the eight hours before
	CheckBlockedKey    = "blocked-key"   // a blocked key's certificate is revoked
	CheckSharedKey     = "shared-key"    // no other account has a certificate with the key
)

// Checks are all checks.
var Checks = []string{
	ca.CheckRecord, ca.CheckSignature, ca.CheckProfile, ca.CheckLint, ca.CheckKey,
	CheckAccount, CheckOrder, CheckAuthorization, CheckCAA, CheckBlockedKey, CheckSharedKey,
}

// Config is what an audit works with.
type Config struct {
	Store     Store
	Inspector *ca.Inspector
	Now       func() time.Time

	// After is the serial number to go on after; zero: from the first.
	After acme.Serial
	// Since and Until bound when certificates were recorded: from Since,
	// included, to Until, not included. Zero: no bound.
	Since, Until time.Time
	// Skip tells which checks are left out.
	Skip map[string]bool
	// MaxKeys is how many keys of unexpired certificates are remembered to find
	// those that several accounts share, 48 octets each; when there are more,
	// the rest is not looked at. 0: none are.
	MaxKeys int

	// Found is told of each finding; an error of its ends the audit.
	Found func(Finding) error
	// Read is told, after each page, how many certificates it had and where an
	// audit that ends here goes on; may be nil.
	Read func(n int, resume acme.Serial) error
}

// Finding is something that is wrong, or that somebody should look at.
type Finding struct {
	Serial acme.Serial
	Check  string
	Detail string
	// Notice tells that no rule is broken.
	Notice bool
}

// Result sums an audit up.
type Result struct {
	Checked  int // signed certificates
	Unsigned int // recorded and not signed: under way, or given up
	Findings int
	Notices  int
	// Resume is where another audit goes on; zero: at the first certificate.
	// The youngest certificates are audited and come again: serial numbers of
	// the same minute are in no order, and what is recorded is signed later.
	Resume acme.Serial
}

const (
	pageSize = 200
	// settled is how old a certificate is when none that is signed later has a
	// lower serial number any more.
	settled = 10 * time.Minute
	// clockSkew is how far the clocks of processes may be apart.
	clockSkew = 5 * time.Minute
)

// errDone ends the walk at Until.
var errDone = errors.New("done")

type auditor struct {
	Config
	issuers map[acme.IssuerID]*x509.Certificate
	keys    map[[16]byte]acme.ID
	result  Result
}

// Run audits. When it fails, the result tells how far it came.
func Run(ctx context.Context, cfg Config) (Result, error) {
	a := &auditor{Config: cfg, issuers: make(map[acme.IssuerID]*x509.Certificate), keys: make(map[[16]byte]acme.ID), result: Result{Resume: cfg.After}}
	if err := a.readIssuers(ctx); err != nil {
		return a.result, err
	}
	page := sa.CertificatePage{After: cfg.After, Limit: pageSize}
	if from, err := before(cfg.Since); err != nil {
		return a.result, err
	} else if page.After.IsZero() {
		page.After = from
	}
	for {
		certs, err := a.Store.Certificates(ctx, page)
		if err != nil {
			return a.result, err
		}
		err = a.page(ctx, certs)
		switch {
		case errors.Is(err, errDone):
			return a.result, nil
		case err != nil:
			return a.result, err
		case len(certs) < page.Limit:
			return a.result, nil
		}
		page.After = certs[len(certs)-1].Serial
	}
}

func (a *auditor) page(ctx context.Context, certs []acme.Certificate) error {
	for _, cert := range certs {
		if !a.Until.IsZero() && madeAt(cert.Serial).After(a.Until.Add(clockSkew)) {
			return errDone
		}
		if err := a.certificate(ctx, cert); err != nil {
			return err
		}
		if madeAt(cert.Serial).Before(a.Now().Add(-settled)) {
			a.result.Resume = cert.Serial
		}
	}
	if a.Read != nil {
		return a.Read(len(certs), a.result.Resume)
	}
	return nil
}

func (a *auditor) readIssuers(ctx context.Context) error {
	issuers, err := a.Store.Issuers(ctx)
	if err != nil {
		return fmt.Errorf("reading the issuers: %w", err)
	}
	for _, iss := range issuers {
		if len(iss.Chains) == 0 || len(iss.Chains[0]) == 0 {
			return fmt.Errorf("issuer %s has no certificate in the store", iss.ID)
		}
		cert, err := x509.ParseCertificate(iss.Chains[0][0])
		if err != nil {
			return fmt.Errorf("reading the certificate of issuer %s: %w", iss.ID, err)
		}
		a.issuers[iss.ID] = cert
	}
	return nil
}

// madeAt is the time in a serial number (acme.NewSerial), to a minute.
func madeAt(serial acme.Serial) time.Time {
	octets := serial.Bytes()
	if len(octets) < 4 {
		return time.Time{}
	}
	return time.Unix(int64(binary.BigEndian.Uint32(octets[:4]))*64, 0)
}

// before is a serial number below those that were made since t.
func before(t time.Time) (acme.Serial, error) {
	if t.IsZero() || t.Unix() < 1<<30 {
		return acme.Serial{}, nil
	}
	octets := make([]byte, 20)
	binary.BigEndian.PutUint32(octets, uint32(t.Add(-clockSkew).Unix()/64))
	return acme.SerialFromBytes(octets)
}

func (a *auditor) found(serial acme.Serial, notice bool, check, format string, args ...any) error {
	if a.Skip[check] {
		return nil
	}
	if notice {
		a.result.Notices++
	} else {
		a.result.Findings++
	}
	return a.Found(Finding{Serial: serial, Check: check, Detail: fmt.Sprintf(format, args...), Notice: notice})
}
