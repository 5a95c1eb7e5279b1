package ra

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// checkReplaces checks that an order may say that it replaces a certificate
// (RFC 9773 §5): the certificate is the account's own and has a name in
// common with the order.
func (r *RA) checkReplaces(ctx context.Context, req NewOrder, ids []acme.Identifier) error {
	cert, err := r.Store.Certificate(ctx, req.Replaces.Serial())
	unknown := acme.NewProblem(acme.Malformed, "\"replaces\" names no certificate of this CA; leave it out").WithStatus(404)
	if errors.Is(err, sa.ErrNotFound) || err == nil && cert.DER == nil {
		return unknown
	}
	if err != nil {
		return fmt.Errorf("reading certificate %s: %w", req.Replaces.Serial(), err)
	}
	parsed, err := x509.ParseCertificate(cert.DER)
	if err != nil {
		return fmt.Errorf("parsing certificate %s: %w", cert.Serial, err)
	}
	if !bytes.Equal(parsed.AuthorityKeyId, req.Replaces.AuthorityKeyID()) {
		return unknown
	}
	if cert.Account != req.Account.ID {
		return acme.NewProblem(acme.Unauthorized, "\"replaces\" names a certificate of another account; leave it out")
	}
	names, err := identifiers(parsed)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(ids, func(id acme.Identifier) bool { return slices.Contains(names, id) }) {
		return acme.NewProblem(acme.Malformed, "\"replaces\" names a certificate that has no identifier in common with the order; leave it out")
	}
	return nil
}
