package ca

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// Issue implements Authority.
func (c *CA) Issue(ctx context.Context, req Request) (Issued, error) {
	work, err := c.record(ctx, req)
	if err != nil {
		result := "failed"
		var p *acme.Problem
		if errors.As(err, &p) && p.Type != acme.ServerInternal {
			result = "refused"
		}
		c.metrics.issuances.WithLabelValues(c.label(req.Profile), result).Inc()
		return Issued{}, err
	}
	// From here on the certificate is durable work: it is signed whether or
	// not the client waits.
	issued := Issued{Serial: work.certificate.Serial}
	if !c.Now().Before(work.until) {
		c.Logger.LogAttrs(ctx, slog.LevelWarn, "a certificate was recorded and is signed once its key can be used",
			slog.String("serial", issued.Serial.String()))
		return issued, nil
	}
	if !work.issuer.slow && req.Wait > 0 && !unlogged(work.certificate) {
		issued.Signed = c.finish(ctx, work)
		return issued, nil
	}
	done := make(chan bool, 1)
	c.work.Go(func() { done <- c.finish(ctx, work) })
	if req.Wait <= 0 {
		return issued, nil
	}
	timer := time.NewTimer(req.Wait)
	defer timer.Stop()
	select {
	case issued.Signed = <-done:
	case <-timer.C:
	}
	return issued, nil
}

// finish signs a recorded certificate, whatever becomes of the request. What
// fails is resumed once its key is back or its lease has lapsed.
func (c *CA) finish(ctx context.Context, work leased) bool {
	err := c.signLeased(context.WithoutCancel(ctx), work)
	if err != nil {
		c.Logger.LogAttrs(ctx, slog.LevelError, "signing a recorded certificate; it is tried again",
			slog.String("serial", work.certificate.Serial.String()), slog.Any("error", err))
	}
	return err == nil
}

// label keeps unknown profile names out of the metrics.
func (c *CA) label(profile string) string {
	if _, ok := c.profiles[profile]; ok {
		return profile
	}
	return "unknown"
}

// record checks a request, builds and lints its certificate, and records it.
func (c *CA) record(ctx context.Context, req Request) (leased, error) {
	cert, err := c.prepare(ctx, req)
	if err != nil {
		return leased{}, err
	}
	return c.recordIssuance(ctx, cert, req)
}

func (c *CA) prepare(ctx context.Context, req Request) (acme.Certificate, error) {
	p, ok := c.profiles[req.Profile]
	if !ok || req.Profile == ServiceProfile {
		return acme.Certificate{}, acme.NewProblem(acme.InvalidProfile, "there is no profile %q any more; create a new order", req.Profile)
	}
	if problem := p.admits(req.Identifiers); problem != nil {
		return acme.Certificate{}, problem
	}
	if problem := p.constraints.admits(req.Identifiers, fmt.Sprintf("profile %q", p.Name)); problem != nil {
		return acme.Certificate{}, problem
	}
	csr, err := parseCSR(req.CSR, req.Identifiers)
	if err != nil {
		return acme.Certificate{}, err
	}
	if csr.mustStaple && !p.MustStaple {
		return acme.Certificate{}, badCSR("the CSR asks for must-staple (RFC 7633), which certificates of the profile %q do not have; leave it out, or order with a profile that has it", p.Name)
	}
	if err := c.checkKey(ctx, p, csr, req.AccountKeyThumbprint); err != nil {
		return acme.Certificate{}, err
	}
	notBefore, notAfter, err := p.Period(c.Now(), req.NotBefore, req.NotAfter)
	if err != nil {
		return acme.Certificate{}, err
	}
	certified, err := p.certified(csr, req.Identifiers)
	if err != nil {
		return acme.Certificate{}, err
	}
	subject, err := p.subject(csr, certified)
	if err != nil {
		return acme.Certificate{}, err
	}
	t := p.templateFor(csr.keyType)
	if problem := t.issuer.constraints.admits(req.Identifiers, "the issuer"); problem != nil {
		return acme.Certificate{}, problem
	}
	cert, err := c.build(ctx, p, t, leaf{
		notBefore: notBefore, notAfter: notAfter, subject: subject,
		identifiers: certified, public: csr.public, spki: csr.spki,
	})
	if err != nil {
		return acme.Certificate{}, err
	}
	cert.Account, cert.Order = req.Account, req.Order
	return cert, nil
}

// subject is the DER of the subject; nil: an empty one.
func (p *compiled) subject(csr request, ids []acme.Identifier) ([]byte, error) {
	name := ""
	if p.CommonName != CommonNameNone && len(csr.commonName) <= maxCommonName {
		name = csr.commonName
	}
	if name == "" && p.CommonName == CommonNameFirst {
		for _, id := range ids {
			if cn := commonNameOf(id); len(cn) <= maxCommonName {
				name = cn
				break
			}
		}
	}
	subject := p.Subject
	subject.CommonName = name
	if len(subject.ToRDNSequence()) == 0 {
		return nil, nil
	}
	der, err := asn1.Marshal(subject.ToRDNSequence())
	if err != nil {
		return nil, fmt.Errorf("encoding a subject: %w", err)
	}
	return der, nil
}

// build gives a leaf its serial and shard, encodes it, and lints it.
func (c *CA) build(ctx context.Context, p *compiled, t *template, l leaf) (acme.Certificate, error) {
	now := c.Now()
	serial, err := acme.NewSerial(now, c.Random)
	if err != nil {
		return acme.Certificate{}, err
	}
	if l.notAfter.After(t.issuer.certificate.NotAfter) {
		// A chain is valid while all of it is.
		l.notAfter = t.issuer.certificate.NotAfter
	}
	octets := serial.Bytes()
	l.serial = serial
	l.crlShard = (int(octets[len(octets)-2])<<8 | int(octets[len(octets)-1])) % c.CRLShards
	l.poison = p.CT
	if err := c.checkTransparency(ctx, p, l); err != nil {
		return acme.Certificate{}, err
	}
	tbs, err := t.build(l)
	if err != nil {
		return acme.Certificate{}, err
	}
	if err := c.conform(ctx, p, t, l, tbs); err != nil {
		return acme.Certificate{}, err
	}
	if err := c.lint(ctx, p, t.issuer, serial, tbs); err != nil {
		return acme.Certificate{}, err
	}
	return acme.Certificate{
		Serial: serial, Issuer: t.issuer.id, Profile: p.Name, CRLShard: l.crlShard, TBS: tbs,
		NotBefore: l.notBefore, NotAfter: l.notAfter, RecordedAt: now,
	}, nil
}

// lint refuses what breaks the rules, and counts and logs what lints say
// besides.
func (c *CA) lint(ctx context.Context, p *compiled, iss *issuer, serial acme.Serial, tbs []byte) error {
	findings, err := p.linter.check(tbs, iss, func(m []byte) ([]byte, error) { return key.Sign(c.Random, iss.throwaway, m) })
	for _, f := range findings {
		c.metrics.lints.WithLabelValues(f.Lint, f.Status.String()).Inc()
	}
	// What every certificate of a profile has, such as no SCTs, is for the
	// metric: a line for each would drown the log.
	level, message := slog.LevelDebug, "lint findings that stop no issuance"
	var broken *lintError
	stopped := errors.As(err, &broken)
	if stopped {
		level, message = slog.LevelError, "lint stopped an issuance"
	}
	if len(findings) > 0 && c.Logger.Enabled(ctx, level) {
		texts := make([]string, len(findings))
		for i, f := range findings {
			texts[i] = f.Status.String() + " " + f.String()
		}
		c.Logger.LogAttrs(ctx, level, message, slog.String("serial", serial.String()), slog.String("profile", p.Name), slog.Any("findings", texts))
	}
	if !stopped {
		return err
	}
	return acme.NewProblem(acme.ServerInternal, "%s; tell the CA's operator, or order other names or another profile", cutFindings(err.Error()))
}

func cutFindings(s string) string {
	if len(s) > 500 {
		return s[:500] + "..."
	}
	return s
}

// recordIssuance makes a certificate durable before it is signed (invariant
// 1), and returns it with the lease that this process has on it.
func (c *CA) recordIssuance(ctx context.Context, cert acme.Certificate, req Request) (leased, error) {
	iss, err := c.issuer(cert.Issuer)
	if err != nil {
		return leased{}, err
	}
	work := leased{iss, cert, c.Now().Add(c.leaseOnRecord(iss, cert))}
	issuance := sa.Issuance{Certificate: cert, Owner: c.owner, LeaseUntil: work.until}
	record := c.Store.RecordIssuance
	if a := req.AutoRenewal; a != nil {
		issuance.NextRenewal = a.Next
		if a.Renewal {
			issuance.RenewalOwner, record = a.Owner, c.Store.RecordRenewal
		} else {
			issuance.AutoRenewalCSR = req.CSR
		}
	}
	err = record(ctx, issuance)
	if errors.Is(err, sa.ErrConflict) {
		return leased{}, acme.NewProblem(acme.OrderNotReady, "the order is not ready any more: it was finalized by another request, or an authorization ended")
	}
	if err != nil {
		return leased{}, fmt.Errorf("recording certificate %s: %w", cert.Serial, err)
	}
	return work, nil
}

// sign signs a recorded certificate with its issuer's key and stores it; before
// that, if it is to have SCTs, its precertificate.
func (c *CA) sign(ctx context.Context, iss *issuer, cert acme.Certificate) error {
	cert, err := c.transparent(ctx, iss, cert)
	if errors.Is(err, errOthers) {
		return nil
	}
	if err != nil {
		return err
	}
	der, err := iss.envelope(c.Random, cert.TBS)
	if err != nil {
		return fmt.Errorf("signing certificate %s: %w", cert.Serial, err)
	}
	c.metrics.signatures.WithLabelValues("certificate").Inc()
	err = c.Store.CompleteIssuance(ctx, cert.Serial, der)
	if errors.Is(err, sa.ErrConflict) {
		return nil // another process was first, and nobody saw ours
	}
	if err != nil {
		return fmt.Errorf("storing certificate %s: %w", cert.Serial, err)
	}
	c.metrics.issuances.WithLabelValues(c.label(cert.Profile), "issued").Inc()
	c.Audit.LogAttrs(ctx, slog.LevelInfo, "certificate issued",
		slog.String("serial", cert.Serial.String()), slog.String("issuer", cert.Issuer.String()),
		slog.String("profile", cert.Profile), slog.String("account", idOrNone(cert.Account)), slog.String("order", idOrNone(cert.Order)),
		slog.Any("names", namesIn(der)),
		slog.String("certificate", base64.StdEncoding.EncodeToString(der)))
	return nil
}

// namesIn are the names in a certificate, for those who read the audit log.
// What was just signed and linted can be parsed; should it not, the record goes
// without them: it has the certificate.
func namesIn(der []byte) []string {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	for _, id := range acme.DevicesIn(cert) {
		names = append(names, id.String())
	}
	return names
}

func idOrNone(id acme.ID) string {
	if id.IsZero() {
		return "none"
	}
	return id.String()
}
