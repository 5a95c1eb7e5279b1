package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// caaLifetime is how long a CAA check may be relied on (Baseline Requirements
// §4.2.2.1).
const caaLifetime = 8 * time.Hour

// authorizations audits what an order's certificate relied on.
func (a *auditor) authorizations(ctx context.Context, cert acme.Certificate, order acme.Order) error {
	var held []acme.Authorization
	for _, id := range order.Authorizations {
		authz, err := a.Store.Authorization(ctx, id)
		if errors.Is(err, sa.ErrNotFound) {
			if err := a.found(cert.Serial, false, CheckAuthorization, "authorization %s, which its order relied on, is not there", id); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("reading authorization %s: %w", id, err)
		}
		if why := unfit(authz, cert); why != "" {
			if err := a.found(cert.Serial, false, CheckAuthorization, "authorization %s for %s %s", id, authz.Names(), why); err != nil {
				return err
			}
			continue
		}
		held = append(held, authz)
	}
	for _, id := range order.Identifiers {
		authz, ok := covering(held, id)
		if !ok {
			if err := a.found(cert.Serial, false, CheckAuthorization, "no authorization that was valid then covers %s", id); err != nil {
				return err
			}
			continue
		}
		if err := a.caa(cert, authz, id); err != nil {
			return err
		}
	}
	return nil
}

// unfit tells why an authorization could not be relied on when a certificate
// was recorded; empty: it could. One that was deactivated has no time of that:
// the store makes sure, in the transaction that records a certificate, that
// each was valid then.
func unfit(authz acme.Authorization, cert acme.Certificate) string {
	switch authz.Status {
	case acme.AuthorizationPending, acme.AuthorizationInvalid:
		return fmt.Sprintf("is %s", authz.Status)
	}
	attempt := authz.Attempt
	switch {
	case authz.Account != cert.Account:
		return fmt.Sprintf("is account %s's", authz.Account)
	case attempt == nil || attempt.Validated.IsZero():
		return "was never validated"
	case attempt.Error != nil:
		return "ended with an error"
	case attempt.Validated.After(cert.RecordedAt.Add(clockSkew)):
		return fmt.Sprintf("was validated at %s, after the certificate was recorded at %s", stamp(attempt.Validated), stamp(cert.RecordedAt))
	case !authz.Expires.After(cert.RecordedAt):
		return fmt.Sprintf("had expired at %s, before the certificate was recorded at %s", stamp(authz.Expires), stamp(cert.RecordedAt))
	case !slices.Contains(authz.Offered, attempt.Type):
		return fmt.Sprintf("was validated with %s, which it did not offer", attempt.Type)
	case attempt.Evidence.Method != "" && attempt.Evidence.Method != attempt.Type:
		return fmt.Sprintf("was answered with %s and validated with %s", attempt.Type, attempt.Evidence.Method)
	}
	return methodAllowed(authz)
}

// methodAllowed tells why a challenge type proves nothing for an identifier
// (RFC 8555 §8, RFC 8737 §3, RFC 8738 §7, Baseline Requirements §3.2.2.4.18 to
// 20: only the DNS speaks for a whole namespace).
func methodAllowed(authz acme.Authorization) string {
	method := authz.Attempt.Type
	web := method == acme.HTTP01 || method == acme.TLSALPN01
	switch {
	case authz.Wildcard && web:
		return fmt.Sprintf("is for a wildcard and was validated with %s", method)
	case authz.Subdomains && web:
		return fmt.Sprintf("reaches to subdomains and was validated with %s", method)
	case authz.Identifier.Type() == acme.IdentifierIP && !web:
		return fmt.Sprintf("is for an address and was validated with %s", method)
	}
	return ""
}

// covering finds the authorization for an identifier: its own or, failing that,
// the nearest that reaches to it from above (RFC 9444).
func covering(held []acme.Authorization, id acme.Identifier) (best acme.Authorization, found bool) {
	for _, authz := range held {
		if authz.Names() == id {
			return authz, true
		}
		above := authz.Identifier.Value()
		if authz.Subdomains && id.Type() == acme.IdentifierDNS && (id.Base().Value() == above || strings.HasSuffix(id.Base().Value(), "."+above)) &&
			(!found || len(above) > len(best.Identifier.Value())) {
			best, found = authz, true
		}
	}
	return best, found
}

// caa audits the record of the CAA check for a name.
func (a *auditor) caa(cert acme.Certificate, authz acme.Authorization, id acme.Identifier) error {
	if id.Type() != acme.IdentifierDNS {
		return nil
	}
	if authz.Names() != id {
		// The check for the name itself is made at each finalize and is in the
		// audit log alone.
		return nil
	}
	caa := authz.Attempt.Evidence.CAA
	switch {
	case caa == nil || caa.CheckedAt.IsZero():
		return a.found(cert.Serial, false, CheckCAA, "no CAA check for %s is recorded", id)
	case caa.CheckedAt.After(cert.RecordedAt.Add(clockSkew)):
		// A later order that reused the authorization replaced it.
		return a.found(cert.Serial, true, CheckCAA, "the CAA check for %s that is recorded, of %s, is a later order's; the audit log has the one that counted", id, stamp(caa.CheckedAt))
	case cert.RecordedAt.Sub(caa.CheckedAt) > caaLifetime:
		return a.found(cert.Serial, false, CheckCAA, "CAA for %s was last checked at %s, more than 8 hours before the certificate was recorded at %s", id, stamp(caa.CheckedAt), stamp(cert.RecordedAt))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
