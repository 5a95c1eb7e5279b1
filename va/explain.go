package va

import (
	"context"

	"github.com/cairn-ca/cairn/va/dns"
)

// ExplainCAA decides as CheckCAA does, and tells how. It is for operators:
// nothing is counted and nothing is audited. Where the directory requires
// DNSSEC, Run must be running.
func (v *VA) ExplainCAA(ctx context.Context, req CAARequest) CAADecision {
	ctx, cancel := context.WithDeadline(v.underDirectory(ctx, req.Directory), v.deadline(ctx))
	defer cancel()
	return v.caa.Check(ctx, req)
}

// CAALookup is one look-up of a decision.
type CAALookup struct {
	Name string
	// Resolver is the one that answered last, as address:port.
	Resolver string
	// Outcome is a word of dns.Outcome: found, nodata, nxdomain, servfail and
	// so on.
	Outcome string
	// Authenticated tells that the resolver says to have verified the answer
	// with DNSSEC.
	Authenticated bool
	Aliases       []string // the targets of CNAME records on the way
	Detail        string   // why it failed, with the resolver's extended error
}

func newCAALookup(a dns.Answer) CAALookup {
	return CAALookup{
		Name: a.Question.Name, Resolver: a.Upstream, Outcome: a.Outcome.String(),
		Authenticated: a.Authenticated, Aliases: a.Aliases, Detail: a.Detail,
	}
}

// CAAJudgement is what one record of the relevant property says to a request.
type CAAJudgement struct {
	Record  string // in presentation form, printable
	Permits bool
	// Reason says why it does not permit; empty: it does.
	Reason string
	// Issuer and Parameters are the record's value, taken apart; none of a
	// malformed one.
	Issuer     string
	Parameters []CAAParameter
}

// CAAParameter is one parameter of a CAA record (RFC 8659 §4.2, RFC 8657).
type CAAParameter struct{ Tag, Value string }

func newCAAJudgement(record, value, reason string) CAAJudgement {
	j := CAAJudgement{Record: record, Permits: reason == "", Reason: reason}
	if v, ok := parseCAAValue(value); ok {
		j.Issuer = v.issuer
		for _, p := range v.parameters {
			j.Parameters = append(j.Parameters, CAAParameter{p.tag, p.value})
		}
	}
	return j
}
