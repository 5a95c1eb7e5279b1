package rpc

import (
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc/acmepb"
)

// maxProblemDepth bounds subproblems of subproblems. RFC 8555 §6.7.1 knows one
// level.
const maxProblemDepth = 8

// EncodeProblem is the message of a problem; nil for nil.
func EncodeProblem(p *acme.Problem) *acmepb.Problem {
	if p == nil {
		return nil
	}
	m := &acmepb.Problem{
		Type:        string(p.Type),
		Detail:      EncodeText(p.Detail),
		Status:      int64(p.Status),
		Subproblems: EncodeList(p.Subproblems, func(sub acme.Problem) *acmepb.Problem { return EncodeProblem(&sub) }),
		Instance:    EncodeText(p.Instance),
		Algorithms:  p.Algorithms,
		RetryAfter:  EncodeDuration(p.RetryAfter),
		Account:     EncodeOptionalID(p.Account),
	}
	if p.Identifier != nil {
		m.Identifier = EncodeIdentifier(*p.Identifier)
	}
	return m
}

// Problem reads a problem that must be there.
func (d *Decoder) Problem(field string, m *acmepb.Problem) acme.Problem {
	if problemDepth(m) > maxProblemDepth {
		d.Fail(field, "subproblems are nested more than %d deep", maxProblemDepth)
		return acme.Problem{}
	}
	return DecodeMessage(d, field, m, decodeProblem)
}

// OptionalProblem reads a problem; nil for none.
func (d *Decoder) OptionalProblem(field string, m *acmepb.Problem) *acme.Problem {
	if m == nil {
		return nil
	}
	p := d.Problem(field, m)
	return &p
}

func decodeProblem(d *Decoder, m *acmepb.Problem) acme.Problem {
	if m.Type == "" {
		d.Fail("type", "missing")
	}
	return acme.Problem{
		Type:       acme.ProblemType(m.Type),
		Detail:     m.Detail,
		Status:     d.Int("status", m.Status),
		Identifier: DecodeOptional(d, "identifier", m.Identifier, decodeIdentifier),
		Subproblems: DecodeList(d, "subproblems", m.Subproblems, func(d *Decoder, field string, m *acmepb.Problem) acme.Problem {
			return DecodeMessage(d, field, m, decodeProblem)
		}),
		Instance:   m.Instance,
		Algorithms: m.Algorithms,
		RetryAfter: d.Duration("retry_after", m.RetryAfter),
		Account:    d.OptionalID("account", m.Account),
	}
}

// problemDepth is the number of levels, counted no further than is needed.
func problemDepth(m *acmepb.Problem) int {
	depth := 0
	for level := []*acmepb.Problem{m}; len(level) > 0 && depth <= maxProblemDepth; depth++ {
		var next []*acmepb.Problem
		for _, p := range level {
			next = append(next, p.GetSubproblems()...)
		}
		level = next
	}
	return depth
}
