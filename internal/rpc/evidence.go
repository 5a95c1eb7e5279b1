package rpc

import (
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc/acmepb"
)

// EncodeEvidence is the message of a validation's evidence.
func EncodeEvidence(e acme.Evidence) *acmepb.Evidence {
	m := &acmepb.Evidence{
		Method:       string(e.Method),
		DomainName:   EncodeText(e.DomainName),
		At:           EncodeTime(e.At),
		Steps:        EncodeList(e.Steps, EncodeText),
		Perspectives: EncodeList(e.Perspectives, encodePerspectiveResult),
		Quorum:       e.Quorum,
		AccountUri:   EncodeText(e.AccountURI),
		PersistUntil: EncodeTime(e.PersistUntil),
	}
	if e.CAA != nil {
		m.Caa = EncodeCAAEvidence(*e.CAA)
	}
	if a := e.Attestation; a != nil {
		m.Attestation = &acmepb.AttestationEvidence{Format: a.Format, KeySha256: a.KeySHA256, RootSha256: a.RootSHA256}
	}
	return m
}

// Evidence reads a validation's evidence, which must be there.
func (d *Decoder) Evidence(field string, m *acmepb.Evidence) acme.Evidence {
	return DecodeMessage(d, field, m, decodeEvidence)
}

func decodeEvidence(d *Decoder, m *acmepb.Evidence) acme.Evidence {
	return acme.Evidence{
		Method:       acme.ChallengeType(m.Method),
		DomainName:   m.DomainName,
		At:           d.Time("at", m.At),
		Steps:        m.Steps,
		CAA:          DecodeOptional(d, "caa", m.Caa, decodeCAAEvidence),
		Perspectives: DecodeList(d, "perspectives", m.Perspectives, (*Decoder).perspectiveResult),
		Quorum:       m.Quorum,
		AccountURI:   m.AccountUri,
		PersistUntil: d.Time("persist_until", m.PersistUntil),
		Attestation:  DecodeOptional(d, "attestation", m.Attestation, decodeAttestationEvidence),
	}
}

func decodeAttestationEvidence(_ *Decoder, m *acmepb.AttestationEvidence) acme.AttestationEvidence {
	return acme.AttestationEvidence{Format: m.Format, KeySHA256: m.KeySha256, RootSHA256: m.RootSha256}
}

// EncodeCAAEvidence is the message of a CAA decision.
func EncodeCAAEvidence(e acme.CAAEvidence) *acmepb.CAAEvidence {
	return &acmepb.CAAEvidence{
		CheckedAt: EncodeTime(e.CheckedAt),
		FoundAt:   EncodeText(e.FoundAt),
		Records:   EncodeList(e.Records, EncodeText),

		Perspectives: EncodeList(e.Perspectives, encodePerspectiveResult),
		Quorum:       e.Quorum,
	}
}

// CAAEvidence reads a CAA decision that must be there.
func (d *Decoder) CAAEvidence(field string, m *acmepb.CAAEvidence) acme.CAAEvidence {
	return DecodeMessage(d, field, m, decodeCAAEvidence)
}

func decodeCAAEvidence(d *Decoder, m *acmepb.CAAEvidence) acme.CAAEvidence {
	return acme.CAAEvidence{
		CheckedAt: d.Time("checked_at", m.CheckedAt),
		FoundAt:   m.FoundAt,
		Records:   m.Records,

		Perspectives: DecodeList(d, "perspectives", m.Perspectives, (*Decoder).perspectiveResult),
		Quorum:       m.Quorum,
	}
}

func encodePerspectiveResult(r acme.PerspectiveResult) *acmepb.PerspectiveResult {
	return &acmepb.PerspectiveResult{
		Name:    r.Name,
		Region:  r.Region,
		Problem: EncodeProblem(r.Problem),
	}
}

func (d *Decoder) perspectiveResult(field string, m *acmepb.PerspectiveResult) acme.PerspectiveResult {
	return DecodeMessage(d, field, m, func(d *Decoder, m *acmepb.PerspectiveResult) acme.PerspectiveResult {
		return acme.PerspectiveResult{
			Name:    m.Name,
			Region:  m.Region,
			Problem: d.OptionalProblem("problem", m.Problem),
		}
	})
}
