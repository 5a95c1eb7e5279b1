package sa

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/cairn-ca/cairn/internal/acme"
)

const (
	beginValidation = `UPDATE authorizations
SET attempt_type = $2, attempt_started_at = $3, attempt_response = $4, key_thumbprint = $5, lease_owner = $6, lease_until = $7
WHERE id = $1 AND status = 'pending' AND expires > $3 AND attempt_type IS NULL
  AND EXISTS (SELECT 1 FROM accounts WHERE accounts.id = authorizations.account_id AND accounts.status = 'valid')
RETURNING ` + authorizationColumns

	// leasedTo is what an owner's statement on its validation begins with.
	leasedTo = ` WHERE id = $1 AND lease_owner = $2 AND status = 'pending' AND expires > $3`

	retryValidation = `UPDATE authorizations SET tries = tries + 1, error = $4, next_try = $5, lease_until = $5` + leasedTo

	// completeValidation gives back neither the evidence nor the error, which
	// the caller has.
	completeValidation = `UPDATE authorizations
SET status = $4, expires = coalesce($5, expires), validated_at = $6, error = $7, evidence = $8, caa = $9,
  tries = tries + 1, next_try = NULL, lease_owner = NULL, lease_until = NULL` + leasedTo + `
RETURNING id, account_id, identifier, status, expires, created_at, seed, offered,
  attempt_type, attempt_started_at, attempt_response, key_thumbprint, tries, next_try, validated_at, NULL, NULL, NULL, subdomains`

	// claimWindow is among how many of the validations whose lease lapsed
	// first accounts take turns. One account can't fill it for long: soon it
	// has as many as it may.
	claimWindow = 2048
	// claimRounds is how often a claim looks again when others were faster.
	claimRounds = 4
)

// validationsDue chooses what to claim. It needs no transaction, so that a
// long queue holds up no writer.
func validationsDue(d dialect) string {
	return `SELECT id FROM (
  SELECT id, lease_until, row_number() OVER (PARTITION BY account_id ORDER BY lease_until, id) AS turn
  FROM (
    SELECT id, account_id, lease_until FROM authorizations
    WHERE lease_until <= $1 AND account_id NOT IN ` + fmt.Sprintf(d.idList, "$2") + `
    ORDER BY lease_until LIMIT $3
  ) AS lapsed
) AS ranked WHERE turn <= $4 ORDER BY turn, lease_until LIMIT $5`
}

// claimValidations takes the lapsed leases over. What can't succeed any more
// leaves the queue.
func claimValidations(d dialect) string {
	return `WITH due AS MATERIALIZED (
  SELECT id FROM authorizations WHERE id IN ` + fmt.Sprintf(d.idList, "$2") + ` AND lease_until <= $1` + d.skipLocked + `
)
UPDATE authorizations
SET lease_owner = CASE WHEN status = 'pending' AND expires > $1 THEN CAST($3 AS TEXT) END,
  lease_until = CASE WHEN status = 'pending' AND expires > $1 THEN CAST($4 AS BIGINT) END,
  next_try = NULL
WHERE id IN (SELECT id FROM due)
RETURNING ` + authorizationColumns
}

// BeginValidation implements OrderStore.
func (d *DB) BeginValidation(ctx context.Context, begin BeginValidation) (a acme.Authorization, err error) {
	err = d.write(ctx, opBeginValidation, func(ctx context.Context, s *session) (err error) {
		a, err = d.authorization(ctx, s, beginValidation, begin.Authorization[:], string(begin.Type), d.micros(), bytesValue(begin.Response),
			begin.KeyThumbprint, begin.Owner, begin.LeaseUntil.UnixMicro())
		return d.conflictIfThere(ctx, s, err, authorizationExists, begin.Authorization[:])
	})
	return a, err
}

// ClaimValidations implements OrderStore.
func (d *DB) ClaimValidations(ctx context.Context, claim Claim) ([]acme.Authorization, error) {
	for range claimRounds {
		due, err := d.validationsDue(ctx, claim)
		if err != nil || len(due) == 0 {
			return nil, err
		}
		var claimed []acme.Authorization
		err = d.write(ctx, opClaimValidations, func(ctx context.Context, s *session) (err error) {
			claimed, err = d.authorizations(ctx, s, d.queries.claimValidations,
				[]any{d.micros(), formatIDs(due), claim.Owner, claim.LeaseUntil.UnixMicro()})
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("claiming validations: %w", err)
		}
		if len(claimed) == 0 {
			continue // another process has them
		}
		claimed = slices.DeleteFunc(claimed, func(a acme.Authorization) bool { return a.Status != acme.AuthorizationPending })
		slices.SortFunc(claimed, func(a, b acme.Authorization) int {
			if c := a.Attempt.StartedAt.Compare(b.Attempt.StartedAt); c != 0 {
				return c
			}
			return bytes.Compare(a.ID[:], b.ID[:])
		})
		return claimed, nil
	}
	return nil, nil
}

func (d *DB) validationsDue(ctx context.Context, claim Claim) (due []acme.ID, err error) {
	perAccount := claim.PerAccount
	if perAccount <= 0 {
		perAccount = claim.Limit
	}
	err = d.engine.read(ctx, false, func(ctx context.Context, s *session) error {
		due = nil
		args := []any{d.micros(), formatIDs(claim.Except), int64(max(claimWindow, claim.Limit)), int64(perAccount), int64(claim.Limit)}
		return s.all(ctx, d.queries.validationsDue, args, func(rows *sql.Rows) error {
			var id acme.ID
			if err := rows.Scan((*scanID)(&id)); err != nil {
				return err
			}
			due = append(due, id)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("looking for validations to claim: %w", err)
	}
	return due, nil
}

// formatIDs puts identifiers into one argument, for dialect.idList.
func formatIDs(ids []acme.ID) string {
	text := make([]byte, 0, 2+len(ids)*(2*len(acme.ID{})+3))
	text = append(text, '[')
	for i, id := range ids {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, '"')
		text = hex.AppendEncode(text, id[:])
		text = append(text, '"')
	}
	return string(append(text, ']'))
}

// due looks, without a transaction, whether there is work to claim: mostly
// there is none.
func (d *DB) due(ctx context.Context, query string) (due bool, err error) {
	err = d.engine.read(ctx, true, func(ctx context.Context, s *session) (err error) {
		due, err = s.has(ctx, query, d.micros())
		return err
	})
	if err != nil {
		return false, fmt.Errorf("looking for work to claim: %w", err)
	}
	return due, nil
}

// RetryValidation implements OrderStore.
func (d *DB) RetryValidation(ctx context.Context, retry RetryValidation) error {
	problem, err := jsonValue(retry.Error)
	if err != nil {
		return err
	}
	return d.write(ctx, opRetryValidation, func(ctx context.Context, s *session) error {
		n, err := s.exec(ctx, retryValidation, retry.Authorization[:], retry.Owner, d.micros(), problem, retry.NextTry.UnixMicro())
		if err != nil {
			return fmt.Errorf("planning another try of authorization %s: %w", retry.Authorization, err)
		}
		if n == 0 {
			return d.conflictIfThere(ctx, s, ErrNotFound, authorizationExists, retry.Authorization[:])
		}
		return nil
	})
}

// CompleteValidation implements OrderStore.
func (d *DB) CompleteValidation(ctx context.Context, result ValidationResult) (a acme.Authorization, err error) {
	evidence := cutEvidence(result.Evidence)
	caa := evidence.CAA
	problem, err := jsonValue(result.Problem)
	if err != nil {
		return acme.Authorization{}, err
	}
	rest := evidence
	rest.CAA = nil
	evidenceText, err := jsonValue(&rest)
	if err != nil {
		return acme.Authorization{}, err
	}
	caaText, err := jsonValue(caa)
	if err != nil {
		return acme.Authorization{}, err
	}
	status, expires, validated := acme.AuthorizationInvalid, any(nil), any(nil)
	if result.Problem == nil {
		if result.Validated.IsZero() {
			return acme.Authorization{}, errors.New("completing a validation: a valid authorization needs the time of its validation")
		}
		status, expires, validated = acme.AuthorizationValid, result.Expires.UnixMicro(), result.Validated.UnixMicro()
	}
	err = d.write(ctx, opCompleteValidation, func(ctx context.Context, s *session) (err error) {
		a, err = d.authorization(ctx, s, completeValidation, result.Authorization[:], result.Owner, d.micros(),
			string(status), expires, validated, problem, evidenceText, caaText)
		return d.conflictIfThere(ctx, s, err, authorizationExists, result.Authorization[:])
	})
	if err != nil {
		return acme.Authorization{}, err
	}
	a.Attempt.Error, a.Attempt.Evidence = result.Problem, evidence
	return a, nil
}

// RecordCAA implements OrderStore.
func (d *DB) RecordCAA(ctx context.Context, evidence map[acme.ID]acme.CAAEvidence) error {
	ids := make([]acme.ID, 0, len(evidence))
	texts := make(map[acme.ID]any, len(evidence))
	for id, caa := range evidence {
		caa.CheckedAt = cut(caa.CheckedAt)
		text, err := jsonValue(&caa)
		if err != nil {
			return err
		}
		texts[id] = text
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil
	}
	// In one order for all, so that transactions never wait for each other in
	// a circle.
	slices.SortFunc(ids, func(a, b acme.ID) int { return bytes.Compare(a[:], b[:]) })
	return d.write(ctx, opRecordCAA, func(ctx context.Context, s *session) error {
		for _, id := range ids {
			n, err := s.exec(ctx, recordCAA, id[:], texts[id], d.micros())
			if err != nil {
				return fmt.Errorf("recording the CAA check of authorization %s: %w", id, err)
			}
			if n == 0 {
				return ErrConflict
			}
		}
		return nil
	})
}

// cutEvidence is the evidence as it comes back from the store.
func cutEvidence(e acme.Evidence) acme.Evidence {
	e.At = cut(e.At)
	if e.CAA != nil {
		caa := *e.CAA
		caa.CheckedAt = cut(caa.CheckedAt)
		e.CAA = &caa
	}
	return e
}
