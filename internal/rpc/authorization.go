package rpc

import (
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc/acmepb"
)

// EncodeAuthorization is the message of an authorization.
func EncodeAuthorization(a acme.Authorization) *acmepb.Authorization {
	m := &acmepb.Authorization{
		Id:         EncodeID(a.ID),
		Account:    EncodeID(a.Account),
		Status:     string(a.Status),
		Identifier: EncodeIdentifier(a.Identifier),
		Wildcard:   a.Wildcard,
		Subdomains: a.Subdomains,
		Expires:    EncodeTime(a.Expires),
		CreatedAt:  EncodeTime(a.CreatedAt),
		Seed:       EncodeBytes32(a.Seed),
		Offered:    EncodeWords(a.Offered),
	}
	if a.Attempt != nil {
		m.Attempt = encodeAttempt(*a.Attempt)
	}
	return m
}

// Authorization reads an authorization that must be there.
func (d *Decoder) Authorization(field string, m *acmepb.Authorization) acme.Authorization {
	return DecodeMessage(d, field, m, decodeAuthorization)
}

func decodeAuthorization(d *Decoder, m *acmepb.Authorization) acme.Authorization {
	return acme.Authorization{
		ID:         d.ID("id", m.Id),
		Account:    d.ID("account", m.Account),
		Status:     acme.AuthorizationStatus(m.Status),
		Identifier: d.Identifier("identifier", m.Identifier),
		Wildcard:   m.Wildcard,
		Subdomains: m.Subdomains,
		Expires:    d.Time("expires", m.Expires),
		CreatedAt:  d.Time("created_at", m.CreatedAt),
		Seed:       d.Bytes32("seed", m.Seed),
		Offered:    DecodeWords[acme.ChallengeType](m.Offered),
		Attempt:    DecodeOptional(d, "attempt", m.Attempt, decodeAttempt),
	}
}

func encodeAttempt(a acme.Attempt) *acmepb.Attempt {
	return &acmepb.Attempt{
		Type:          string(a.Type),
		StartedAt:     EncodeTime(a.StartedAt),
		Response:      a.Response,
		KeyThumbprint: a.KeyThumbprint,
		Tries:         int64(a.Tries),
		NextTry:       EncodeTime(a.NextTry),
		Validated:     EncodeTime(a.Validated),
		Error:         EncodeProblem(a.Error),
		Evidence:      EncodeEvidence(a.Evidence),
	}
}

func decodeAttempt(d *Decoder, m *acmepb.Attempt) acme.Attempt {
	return acme.Attempt{
		Type:          acme.ChallengeType(m.Type),
		StartedAt:     d.Time("started_at", m.StartedAt),
		Response:      m.Response,
		KeyThumbprint: m.KeyThumbprint,
		Tries:         d.Int("tries", m.Tries),
		NextTry:       d.Time("next_try", m.NextTry),
		Validated:     d.Time("validated", m.Validated),
		Error:         d.OptionalProblem("error", m.Error),
		Evidence:      d.Evidence("evidence", m.Evidence),
	}
}
