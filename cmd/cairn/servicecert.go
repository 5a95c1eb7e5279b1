package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cairn-ca/cairn/ca"
)

// listenerCertificate is the certificate of the HTTPS listeners: issued by the
// CA itself, with a key that never leaves the process's memory, and renewed
// when two thirds of its life are over.
type listenerCertificate struct {
	ca     ca.Authority
	now    func() time.Time
	random io.Reader
	logger *slog.Logger

	current atomic.Pointer[tls.Certificate]
}

var errNoCertificate = errors.New("the CA has not issued the listener's certificate yet")

// get is for tls.Config.GetCertificate.
func (l *listenerCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cert := l.current.Load(); cert != nil {
		return cert, nil
	}
	return nil, errNoCertificate
}

// check is a health check.
func (l *listenerCertificate) check(context.Context) error {
	cert := l.current.Load()
	switch {
	case cert == nil:
		return errNoCertificate
	case !l.now().Before(cert.Leaf.NotAfter):
		return errors.New("the listener's certificate has expired, and the CA does not renew it")
	}
	return nil
}

// renew gets a new certificate.
func (l *listenerCertificate) renew(ctx context.Context) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), l.random)
	if err != nil {
		return fmt.Errorf("making the listener's key: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(l.random, &x509.CertificateRequest{}, key)
	if err != nil {
		return fmt.Errorf("making the listener's certificate request: %w", err)
	}
	chain, err := l.ca.ServiceCertificate(ctx, csr)
	if err != nil {
		return fmt.Errorf("getting the listener's certificate: %w", err)
	}
	if len(chain) == 0 {
		return errors.New("getting the listener's certificate: the CA returned an empty chain")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return fmt.Errorf("reading the listener's certificate: %w", err)
	}
	l.current.Store(&tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf})
	l.logger.InfoContext(ctx, "listener certificate issued", "serial", fmt.Sprintf("%040x", leaf.SerialNumber), "notAfter", leaf.NotAfter)
	return nil
}

const (
	// Waits between attempts that failed.
	firstRetry = 100 * time.Millisecond
	lastRetry  = time.Minute
	// renewWait keeps a certificate of a very short life, or a clock that is
	// off, from renewing without a pause.
	renewWait = time.Second
)

// run gets the first certificate and keeps renewing it until ctx ends.
func (l *listenerCertificate) run(ctx context.Context) error {
	retry := firstRetry
	for {
		wait := l.untilRenewal()
		if wait <= 0 {
			err := l.renew(ctx)
			switch {
			case err == nil:
				wait, retry = max(l.untilRenewal(), renewWait), firstRetry
			default:
				if ctx.Err() == nil {
					l.logger.WarnContext(ctx, "the listener's certificate; trying again", "error", err, "in", retry)
				}
				wait, retry = retry, min(2*retry, lastRetry)
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// untilRenewal is the time until the certificate is to be renewed; 0 or less:
// now.
func (l *listenerCertificate) untilRenewal() time.Duration {
	cert := l.current.Load()
	if cert == nil {
		return 0
	}
	return renewAt(cert.Leaf).Sub(l.now())
}

// renewAt is when two thirds of a certificate's life are over.
func renewAt(leaf *x509.Certificate) time.Time {
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) * 2 / 3)
}
