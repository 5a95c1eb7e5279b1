package sa

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

const authorizationColumns = `id, account_id, identifier, status, expires, created_at, seed, offered,
  attempt_type, attempt_started_at, attempt_response, key_thumbprint, tries, next_try, validated_at, error, evidence, caa, subdomains`

const (
	selectAuthorization = `SELECT ` + authorizationColumns + ` FROM authorizations WHERE id = $1`

	insertAuthorization = `INSERT INTO authorizations (id, account_id, identifier, status, expires, created_at, seed, offered, tries, subdomains) VALUES `

	insertAuthorizationAlone = `INSERT INTO authorizations (id, account_id, identifier, status, expires, created_at, seed, offered, tries, subdomains)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10` + ofValidAccount

	deactivateAuthorization = `UPDATE authorizations SET status = 'deactivated', next_try = NULL, lease_owner = NULL, lease_until = NULL
WHERE id = $1 AND status IN ('pending', 'valid') AND expires > $2
RETURNING ` + authorizationColumns

	recordCAA = `UPDATE authorizations SET caa = $2 WHERE id = $1 AND status = 'valid' AND expires > $3`

	authorizationExists = `SELECT 1 FROM authorizations WHERE id = $1`
)

// authorizationRow is a row of authorizationColumns as it is read.
type authorizationRow struct {
	acme.Authorization
	attempt                acme.Attempt
	identifier, offered    string
	seed                   []byte
	problem, evidence, caa string
}

func (r *authorizationRow) dest() []any {
	a, t := &r.Authorization, &r.attempt
	return []any{
		(*scanID)(&a.ID), (*scanID)(&a.Account), (*scanText)(&r.identifier), (*scanText)(&a.Status), (*scanTime)(&a.Expires), (*scanTime)(&a.CreatedAt),
		(*scanBytes)(&r.seed), (*scanText)(&r.offered),
		(*scanText)(&t.Type), (*scanTime)(&t.StartedAt), (*scanBytes)(&t.Response), (*scanText)(&t.KeyThumbprint), (*scanInt)(&t.Tries),
		(*scanTime)(&t.NextTry), (*scanTime)(&t.Validated), (*scanText)(&r.problem), (*scanText)(&r.evidence), (*scanText)(&r.caa), (*scanBool)(&a.Subdomains),
	}
}

// authorization is what the row says as of now.
func (r *authorizationRow) authorization(now time.Time) (acme.Authorization, error) {
	a := r.Authorization
	if err := r.complete(&a); err != nil {
		return acme.Authorization{}, fmt.Errorf("reading authorization %s: %w", a.ID, err)
	}
	a.Status = statusAt(a.Status, a.Expires, now)
	return a, nil
}

func (r *authorizationRow) complete(a *acme.Authorization) error {
	names, err := acme.ParseIdentifierString(r.identifier)
	if err != nil {
		return err
	}
	a.Identifier, a.Wildcard = names.Base(), names.IsWildcard()
	if copy(a.Seed[:], r.seed) != len(a.Seed) {
		return errors.New("the seed is too short")
	}
	a.Offered = parseOffered(r.offered)
	if r.attempt.Type == "" {
		return nil
	}
	if r.attempt.Error, err = fromJSON[acme.Problem](r.problem); err != nil {
		return err
	}
	evidence, err := fromJSON[acme.Evidence](r.evidence)
	if err != nil {
		return err
	}
	if evidence != nil {
		r.attempt.Evidence = *evidence
	}
	if r.attempt.Evidence.CAA, err = fromJSON[acme.CAAEvidence](r.caa); err != nil {
		return err
	}
	a.Attempt = &r.attempt
	return nil
}

// statusAt is the status of an authorization as of now: time ends a pending
// one (invalid) and a valid one (expired); RFC 8555 §7.1.6.
func statusAt(status acme.AuthorizationStatus, expires, now time.Time) acme.AuthorizationStatus {
	if expires.After(now) {
		return status
	}
	switch status {
	case acme.AuthorizationPending:
		return acme.AuthorizationInvalid
	case acme.AuthorizationValid:
		return acme.AuthorizationExpired
	}
	return status
}

// formatOffered and parseOffered convert the challenge types of an
// authorization, whose names have no commas.
func formatOffered(types []acme.ChallengeType) string {
	var b strings.Builder
	for i, t := range types {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(string(t))
	}
	return b.String()
}

func parseOffered(text string) []acme.ChallengeType {
	if text == "" {
		return nil
	}
	types := make([]acme.ChallengeType, 0, strings.Count(text, ",")+1)
	for t := range strings.SplitSeq(text, ",") {
		types = append(types, acme.ChallengeType(t))
	}
	return types
}

// authorization reads one authorization; ErrNotFound when the statement has no
// row.
func (d *DB) authorization(ctx context.Context, s *session, query string, args ...any) (acme.Authorization, error) {
	var row authorizationRow
	switch err := s.one(ctx, query, args, row.dest()...); {
	case errors.Is(err, sql.ErrNoRows):
		return acme.Authorization{}, ErrNotFound
	case err != nil:
		return acme.Authorization{}, fmt.Errorf("reading an authorization: %w", err)
	}
	return row.authorization(d.now())
}

// authorizations reads the authorizations of a query.
func (d *DB) authorizations(ctx context.Context, s *session, query string, args []any) ([]acme.Authorization, error) {
	var list []acme.Authorization
	now := d.now()
	err := s.all(ctx, query, args, func(rows *sql.Rows) error {
		var row authorizationRow
		if err := rows.Scan(row.dest()...); err != nil {
			return err
		}
		a, err := row.authorization(now)
		if err != nil {
			return err
		}
		list = append(list, a)
		return nil
	})
	return list, err
}

// Authorization implements Reader.
func (d *DB) Authorization(ctx context.Context, id acme.ID) (a acme.Authorization, err error) {
	err = d.read(ctx, opAuthorization, func(ctx context.Context, s *session) (err error) {
		a, err = d.authorization(ctx, s, selectAuthorization, id[:])
		return err
	})
	return a, err
}

func insertAuthorizations(ctx context.Context, s *session, list []acme.Authorization) error {
	return insertRows(ctx, s, insertAuthorization, 10, len(list), func(args []any, i int) ([]any, error) {
		return appendAuthorization(args, &list[i])
	})
}

// appendAuthorization appends the arguments of insertAuthorization.
func appendAuthorization(args []any, a *acme.Authorization) ([]any, error) {
	if a.Attempt != nil {
		return nil, fmt.Errorf("authorization %s was attempted before it was stored", a.ID)
	}
	return append(args, a.ID[:], a.Account[:], a.Names().String(), string(a.Status), a.Expires.UnixMicro(), a.CreatedAt.UnixMicro(),
		a.Seed[:], formatOffered(a.Offered), int64(0), boolValue(a.Subdomains)), nil
}

// CreateAuthorization implements OrderStore.
func (d *DB) CreateAuthorization(ctx context.Context, a acme.Authorization) error {
	args, err := appendAuthorization(nil, &a)
	if err != nil {
		return err
	}
	return d.write(ctx, opCreateAuthorization, func(ctx context.Context, s *session) error {
		n, err := s.exec(ctx, insertAuthorizationAlone, args...)
		if err != nil {
			return fmt.Errorf("inserting authorization %s: %w", a.ID, err)
		}
		if n == 0 {
			return ErrConflict
		}
		return nil
	})
}

// DeactivateAuthorization implements OrderStore.
func (d *DB) DeactivateAuthorization(ctx context.Context, id acme.ID) (a acme.Authorization, err error) {
	err = d.write(ctx, opDeactivateAuthorization, func(ctx context.Context, s *session) (err error) {
		a, err = d.authorization(ctx, s, deactivateAuthorization, id[:], d.micros())
		return d.conflictIfThere(ctx, s, err, authorizationExists, id[:])
	})
	return a, err
}
