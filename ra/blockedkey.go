package ra

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

const (
	// sweepAge is how long a key must have been blocked before its
	// certificates are looked for: an issuance that asked before the key was
	// blocked has recorded its certificate by then.
	sweepAge = 10 * time.Second
	// keySweepEvery is how often blocked keys are looked for.
	keySweepEvery = 5 * time.Second
	// sweepKeys is how many keys one walk through the inventory looks for.
	sweepKeys = 1000
	// sweepPage is how many certificates are read at once.
	sweepPage = 500
	// sweepLease is how long one process sweeps before another may take over.
	sweepLease = 30 * time.Second
	sweepName  = "sweep of blocked keys"
)

// sweepBlockedKeys revokes the certificates whose key was blocked: a key that
// is known to be compromised is compromised in each of them (Baseline
// Requirements §4.9.1.1, 24 hours). No index leads from a key to its
// certificates, for it would cost every issuance; one walk through the
// unexpired certificates serves all keys that were blocked since the last.
func (r *RA) sweepBlockedKeys(ctx context.Context) error {
	now := r.Now()
	if now.Before(r.nextSweep) {
		return nil
	}
	r.nextSweep = now.Add(keySweepEvery)
	keys, err := r.Store.KeysToSweep(ctx, now.Add(-sweepAge), sweepKeys)
	if err != nil || len(keys) == 0 {
		return err
	}
	held, err := r.leaseSweep(ctx)
	if err != nil || !held {
		return err
	}
	found := make(map[[32]byte][]acme.Certificate, len(keys))
	for _, k := range keys {
		found[k.SPKISHA256] = nil
	}
	if err := r.findByKey(ctx, found); err != nil {
		return fmt.Errorf("looking for the certificates of blocked keys: %w", err)
	}
	for _, k := range keys {
		if err := r.sweepKey(ctx, k, found[k.SPKISHA256]); err != nil {
			return err
		}
	}
	return nil
}

func (r *RA) leaseSweep(ctx context.Context) (bool, error) {
	return r.Store.Lease(ctx, sa.Lease{Name: sweepName, Owner: r.owner, Until: r.Now().Add(sweepLease)})
}

// findByKey walks through the certificates that have not expired and are not
// revoked, and adds each whose key is in found to its list.
func (r *RA) findByKey(ctx context.Context, found map[[32]byte][]acme.Certificate) error {
	page := sa.CertificatePage{ExpiresAfter: r.Now(), Limit: sweepPage}
	for {
		list, err := r.Store.Certificates(ctx, page)
		if err != nil {
			return err
		}
		for _, cert := range list {
			if cert.Signed() == nil || cert.Revocation != nil && cert.Revocation.Reason == acme.ReasonKeyCompromise {
				continue
			}
			parsed, err := x509.ParseCertificate(cert.Signed())
			if err != nil {
				return fmt.Errorf("reading certificate %s: %w", cert.Serial, err)
			}
			hashes, err := key.SPKIHashes(parsed.PublicKey, parsed.RawSubjectPublicKeyInfo)
			if err != nil {
				return fmt.Errorf("reading certificate %s: %w", cert.Serial, err)
			}
			cert.TBS, cert.DER, cert.Precertificate = nil, nil, nil
			for _, hash := range hashes {
				if certs, ok := found[hash]; ok {
					found[hash] = append(certs, cert)
				}
			}
		}
		if len(list) < page.Limit {
			return nil
		}
		page.After = list[len(list)-1].Serial
		if held, err := r.leaseSweep(ctx); err != nil || !held {
			return errors.Join(err, errors.New("the lease on the sweep was lost"))
		}
	}
}

// sweepKey revokes a blocked key's certificates. More than RevokeUnasked of
// them are an operator's to revoke: so many may be a mistake.
func (r *RA) sweepKey(ctx context.Context, k sa.BlockedKey, certs []acme.Certificate) error {
	sweep := sa.KeySweep{SPKISHA256: k.SPKISHA256, Found: len(certs)}
	if len(certs) <= r.RevokeUnasked {
		for _, cert := range certs {
			revocation := acme.Revocation{
				Serial: cert.Serial, Issuer: cert.Issuer, CRLShard: cert.CRLShard,
				At: r.Now(), Reason: acme.ReasonKeyCompromise, NotAfter: cert.NotAfter, By: "blocked key, by " + k.By,
			}
			err := r.Store.Revoke(ctx, revocation)
			if errors.Is(err, sa.ErrConflict) {
				continue // somebody was first
			}
			if err != nil {
				return fmt.Errorf("revoking %s, whose key is blocked: %w", cert.Serial, err)
			}
			sweep.Revoked++
			r.metrics.revocations.WithLabelValues(revocation.Reason.String()).Inc()
			r.Audit.LogAttrs(ctx, slog.LevelWarn, "certificate revoked",
				slog.String("serial", cert.Serial.String()), slog.String("issuer", cert.Issuer.String()),
				slog.String("reason", revocation.Reason.String()), slog.String("by", revocation.By))
		}
	}
	sweep.At = r.Now()
	if err := r.Store.RecordKeySweep(ctx, sweep); err != nil && !errors.Is(err, sa.ErrConflict) {
		return err
	}
	level, message := slog.LevelInfo, "blocked key swept"
	if len(certs) > r.RevokeUnasked {
		level, message = slog.LevelError, "a blocked key has more certificates than are revoked unasked; revoke them with cairn admin revoke --key-hash"
	}
	attrs := []slog.Attr{slog.String("spki_sha256", fmt.Sprintf("%x", k.SPKISHA256)), slog.Int("found", sweep.Found), slog.Int("revoked", sweep.Revoked)}
	r.Logger.LogAttrs(ctx, level, message, attrs...)
	r.Audit.LogAttrs(ctx, level, message, attrs...)
	return nil
}
