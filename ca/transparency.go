package ca

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/ca/ct"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

const (
	// defaultCTRetryFor is how long SCTs are asked for before an issuance is
	// given up.
	defaultCTRetryFor = time.Hour
	// submitEvery is when a final certificate that no log took is submitted
	// again, submitWithin for how long: browsers want it within 24 hours.
	submitEvery  = 5 * time.Minute
	submitWithin = 24 * time.Hour
	submitLimit  = 64
	// atLogs is how many certificates are at logs at once for one batch.
	atLogs = 16
)

// errOthers: another process is ahead with an issuance.
var errOthers = errors.New("another process was first")

// checkTransparency refuses, before anything is recorded, a certificate that
// could not have its SCTs.
func (c *CA) checkTransparency(ctx context.Context, p *compiled, l leaf) error {
	if !p.CT {
		return nil
	}
	if err := c.CT.Check(l.notBefore, l.notAfter); err != nil {
		c.Logger.LogAttrs(ctx, slog.LevelError, "the configured CT logs can't serve a profile", slog.String("profile", p.Name), slog.Any("error", err))
		return acme.NewProblem(acme.ServerInternal, "profile %q needs Certificate Transparency logs that this CA has not configured; tell the CA's operator, or order with another profile", p.Name)
	}
	return nil
}

// leaseOnRecord is issuer.leaseOnRecord, with the time that logs may take.
func (c *CA) leaseOnRecord(iss *issuer, cert acme.Certificate) time.Duration {
	lease := iss.leaseOnRecord()
	if lease > 0 && c.CT != nil && unlogged(cert) {
		lease += c.CT.Timeout
	}
	return lease
}

// transparent takes a certificate that is to have SCTs through the steps that
// are left before it is signed (RFC 6962 §3.1): the precertificate is signed
// and stored, submitted to logs, and the SCTs are stored in the final TBS, each
// durable before the next begins. It returns the certificate with that TBS;
// one without poison comes back as it is. errOthers: nothing is left to do.
func (c *CA) transparent(ctx context.Context, iss *issuer, cert acme.Certificate) (acme.Certificate, error) {
	if cert.Precertificate == nil {
		is, err := ct.IsPrecertificate(cert.TBS)
		if err != nil {
			return cert, fmt.Errorf("reading the recorded certificate %s: %w", cert.Serial, err)
		}
		if !is {
			return cert, nil
		}
		if cert, err = c.signPrecertificate(ctx, iss, cert); err != nil {
			return cert, err
		}
	}
	if cert.TBS == nil {
		var err error
		if cert, err = c.collectSCTs(ctx, iss, cert); err != nil {
			return cert, err
		}
	}
	precertificate, err := ct.TBSOf(cert.Precertificate)
	if err != nil {
		return cert, fmt.Errorf("reading precertificate %s: %w", cert.Serial, err)
	}
	return cert, ct.Correspond(precertificate, cert.TBS)
}

// signPrecertificate signs a precertificate, and stores it before any log
// sees it.
func (c *CA) signPrecertificate(ctx context.Context, iss *issuer, cert acme.Certificate) (acme.Certificate, error) {
	if c.CT == nil {
		return cert, errors.New("it needs SCTs, and no CT logs are configured any more")
	}
	der, err := iss.envelope(c.Random, cert.TBS)
	if err != nil {
		return cert, fmt.Errorf("signing precertificate %s: %w", cert.Serial, err)
	}
	c.metrics.signatures.WithLabelValues("precertificate").Inc()
	err = c.Store.RecordPrecertificate(ctx, cert.Serial, der)
	if errors.Is(err, sa.ErrConflict) {
		return cert, errOthers // and nobody saw ours
	}
	if err != nil {
		return cert, fmt.Errorf("storing precertificate %s: %w", cert.Serial, err)
	}
	cert.Precertificate, cert.TBS = der, nil
	c.Audit.LogAttrs(ctx, slog.LevelInfo, "precertificate signed",
		slog.String("serial", cert.Serial.String()), slog.String("issuer", cert.Issuer.String()),
		slog.String("profile", cert.Profile), slog.String("account", idOrNone(cert.Account)), slog.String("order", idOrNone(cert.Order)),
		slog.Any("names", namesIn(der)),
		slog.String("precertificate", base64.StdEncoding.EncodeToString(der)))
	return cert, nil
}

// collectSCTs submits a stored precertificate, makes the final TBS, lints and
// stores it.
func (c *CA) collectSCTs(ctx context.Context, iss *issuer, cert acme.Certificate) (acme.Certificate, error) {
	if c.CT == nil {
		return cert, errors.New("it needs SCTs, and no CT logs are configured any more")
	}
	scts, err := c.CT.Precertificate(ctx, submission(iss, cert, cert.Precertificate))
	if err != nil {
		return cert, fmt.Errorf("logging precertificate %s: %w", cert.Serial, err)
	}
	precertificate, err := ct.TBSOf(cert.Precertificate)
	if err != nil {
		return cert, fmt.Errorf("reading precertificate %s: %w", cert.Serial, err)
	}
	tbs, err := ct.Final(precertificate, ct.SCTs(scts))
	if err != nil {
		return cert, fmt.Errorf("putting the SCTs into certificate %s: %w", cert.Serial, err)
	}
	// The precertificate was linted; some lints are about the SCTs alone.
	if p, ok := c.profiles[cert.Profile]; ok {
		if err := c.lint(ctx, p, iss, cert.Serial, tbs); err != nil {
			return cert, err
		}
	}
	err = c.Store.RecordSCTs(ctx, cert.Serial, tbs)
	if errors.Is(err, sa.ErrConflict) {
		return cert, errOthers
	}
	if err != nil {
		return cert, fmt.Errorf("storing the SCTs of certificate %s: %w", cert.Serial, err)
	}
	cert.TBS = tbs
	attrs := []slog.Attr{slog.String("serial", cert.Serial.String()), slog.String("profile", cert.Profile)}
	for _, s := range scts {
		attrs = append(attrs, slog.Group("sct", slog.String("log", s.Log), slog.Time("timestamp", s.Time()),
			slog.String("log_id", base64.StdEncoding.EncodeToString(s.LogID[:]))))
	}
	c.Audit.LogAttrs(ctx, slog.LevelInfo, "precertificate logged", attrs...)
	return cert, nil
}

func submission(iss *issuer, cert acme.Certificate, der []byte) ct.Submission {
	return ct.Submission{
		DER: der, Chain: iss.chains[0], IssuerSPKI: iss.certificate.RawSubjectPublicKeyInfo,
		NotBefore: cert.NotBefore, NotAfter: cert.NotAfter,
	}
}

// unlogged tells whether an issuance still waits for SCTs.
func unlogged(cert acme.Certificate) bool {
	if cert.Precertificate != nil {
		return cert.TBS == nil
	}
	is, err := ct.IsPrecertificate(cert.TBS)
	return err == nil && is
}

// recordedTBS is the TBS of a recorded certificate, while SCTs are awaited
// that of its precertificate.
func recordedTBS(cert acme.Certificate) ([]byte, error) {
	if cert.TBS != nil {
		return cert.TBS, nil
	}
	return ct.TBSOf(cert.Precertificate)
}

// resumeLogged resumes issuances that wait for SCTs, without holding up the
// others: logs may be slow.
func (c *CA) resumeLogged(ctx context.Context, claimed []acme.Certificate, until time.Time) {
	c.work.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, until.Sub(c.Now()))
		defer cancel()
		c.atLogs(claimed, func(cert acme.Certificate) {
			if ctx.Err() != nil {
				return // the rest is anybody's again
			}
			if err := c.resumeOne(ctx, cert, until); err != nil {
				c.Logger.LogAttrs(ctx, slog.LevelError, "resuming an issuance that needs SCTs; it is tried again",
					slog.String("serial", cert.Serial.String()), slog.Any("error", err))
			}
		})
	})
}

// atLogs does the work for each certificate, several at once.
func (c *CA) atLogs(certs []acme.Certificate, work func(acme.Certificate)) {
	var all sync.WaitGroup
	slots := make(chan struct{}, atLogs)
	for _, cert := range certs {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			work(cert)
		})
	}
	all.Wait()
}

// submitFinals submits final certificates to a log each, as they wait for it.
func (c *CA) submitFinals(ctx context.Context) error {
	if c.CT == nil {
		return nil
	}
	claimed, err := c.Store.ClaimSubmissions(ctx, sa.Claim{Owner: c.owner, LeaseUntil: c.Now().Add(submitEvery), Limit: submitLimit})
	if err != nil || len(claimed) == 0 {
		return err
	}
	c.work.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, submitEvery)
		defer cancel()
		c.atLogs(claimed, func(cert acme.Certificate) {
			if err := c.submitFinal(ctx, cert); err != nil && ctx.Err() == nil {
				c.Logger.LogAttrs(ctx, slog.LevelWarn, "submitting a certificate to logs; it is tried again",
					slog.String("serial", cert.Serial.String()), slog.Any("error", err))
			}
		})
	})
	return nil
}

func (c *CA) submitFinal(ctx context.Context, cert acme.Certificate) error {
	iss, err := c.issuer(cert.Issuer)
	if err != nil {
		return err // another process may have it
	}
	logged, err := c.CT.Certificate(ctx, submission(iss, cert, cert.DER))
	switch {
	case err == nil:
		c.Audit.LogAttrs(ctx, slog.LevelInfo, "certificate logged", slog.String("serial", cert.Serial.String()),
			slog.String("log", logged[0].Log), slog.Time("timestamp", logged[0].Time()))
	case c.Now().Sub(cert.RecordedAt) < submitWithin:
		return err
	default:
		// Its precertificate is logged: what is lost is the final one's entry.
		c.Logger.LogAttrs(ctx, slog.LevelError, "no log took a certificate within a day; it is not submitted any more",
			slog.String("serial", cert.Serial.String()), slog.Any("error", err))
	}
	return c.Store.CompleteSubmission(ctx, cert.Serial)
}
