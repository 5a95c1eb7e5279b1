package sa

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/cairn-ca/cairn/internal/acme"
)

const (
	selectIssuerRows = `SELECT id, responder, chain, der FROM issuers LEFT JOIN issuer_certificates ON issuer = id`
	selectIssuer     = selectIssuerRows + ` WHERE id = $1 ORDER BY chain, position`
	selectIssuers    = selectIssuerRows + ` ORDER BY id, chain, position`

	upsertIssuer = `INSERT INTO issuers (id, responder) VALUES ($1, $2)
ON CONFLICT (id) DO UPDATE SET responder = excluded.responder`
	deleteIssuerCertificates = `DELETE FROM issuer_certificates WHERE issuer = $1`
	insertIssuerCertificates = `INSERT INTO issuer_certificates (issuer, chain, position, der) VALUES `
)

// issuers reads the issuers of a query over selectIssuerRows, which come one
// after the other.
func (d *DB) issuers(ctx context.Context, op operation, query string, args ...any) ([]acme.Issuer, error) {
	var list []acme.Issuer
	err := d.read(ctx, op, func(ctx context.Context, s *session) error {
		list = nil
		return s.all(ctx, query, args, func(rows *sql.Rows) error {
			var issuer acme.Issuer
			var chain int
			var der []byte
			if err := rows.Scan((*scanIssuer)(&issuer.ID), (*scanBytes)(&issuer.Responder), (*scanInt)(&chain), (*scanBytes)(&der)); err != nil {
				return err
			}
			if len(list) == 0 || list[len(list)-1].ID != issuer.ID {
				list = append(list, issuer)
			}
			if der == nil {
				return nil // it has no chains
			}
			last := &list[len(list)-1]
			if chain == len(last.Chains) {
				last.Chains = append(last.Chains, nil)
			}
			if chain != len(last.Chains)-1 {
				return fmt.Errorf("chain %d of issuer %s follows chain %d", chain, last.ID, len(last.Chains)-1)
			}
			last.Chains[chain] = append(last.Chains[chain], der)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading issuers: %w", err)
	}
	return list, nil
}

// Issuer implements Reader.
func (d *DB) Issuer(ctx context.Context, id acme.IssuerID) (acme.Issuer, error) {
	list, err := d.issuers(ctx, opIssuer, selectIssuer, id[:])
	if err != nil {
		return acme.Issuer{}, err
	}
	if len(list) == 0 {
		return acme.Issuer{}, ErrNotFound
	}
	return list[0], nil
}

// Issuers implements Reader.
func (d *DB) Issuers(ctx context.Context) ([]acme.Issuer, error) {
	return d.issuers(ctx, opIssuers, selectIssuers)
}

// PutIssuer implements CertificateStore.
func (d *DB) PutIssuer(ctx context.Context, issuer acme.Issuer) error {
	type place struct {
		chain, position int
		der             []byte
	}
	var certificates []place
	for i, chain := range issuer.Chains {
		if len(chain) == 0 {
			return fmt.Errorf("storing issuer %s: chain %d is empty", issuer.ID, i)
		}
		for j, der := range chain {
			if len(der) == 0 {
				return fmt.Errorf("storing issuer %s: certificate %d of chain %d is empty", issuer.ID, j, i)
			}
			certificates = append(certificates, place{i, j, der})
		}
	}
	return d.write(ctx, opPutIssuer, func(ctx context.Context, s *session) error {
		if _, err := s.exec(ctx, upsertIssuer, issuer.ID[:], bytesValue(issuer.Responder)); err != nil {
			return fmt.Errorf("storing issuer %s: %w", issuer.ID, err)
		}
		if _, err := s.exec(ctx, deleteIssuerCertificates, issuer.ID[:]); err != nil {
			return fmt.Errorf("replacing the chains of issuer %s: %w", issuer.ID, err)
		}
		err := insertRows(ctx, s, insertIssuerCertificates, 4, len(certificates), func(args []any, i int) ([]any, error) {
			c := certificates[i]
			return append(args, issuer.ID[:], int64(c.chain), int64(c.position), c.der), nil
		})
		if err != nil {
			return fmt.Errorf("storing the chains of issuer %s: %w", issuer.ID, err)
		}
		return nil
	})
}
