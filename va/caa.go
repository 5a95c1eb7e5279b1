package va

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/va/dns"
)

const (
	// climbTogether is how many levels of a name are asked at once.
	climbTogether = 8
	// maxCAARecords is how many records are kept as evidence.
	maxCAARecords = 50
)

// CAAChecker decides whether CAA records permit issuance (RFC 8659, with the
// parameters of RFC 8657).
type CAAChecker struct {
	Resolver *dns.Resolver
	// Identities are the issuer domain names that mean this CA, in any case.
	Identities []string
	// DirectoryIdentities are those of directories that have their own, by
	// the directory's name.
	DirectoryIdentities map[string][]string
	// Now is the clock. nil: time.Now.
	Now func() time.Time
}

// CAADecision is a decision and how it was come to.
type CAADecision struct {
	// Problem is nil when CAA permits issuance: of type caa when the records
	// forbid it, of type dns when they could not be looked up, of another when
	// an onion service's were not given as they must be.
	Problem   *acme.Problem
	MayHeal   bool // the look-up failed, and may not the next time
	CheckedAt time.Time
	// FoundAt is the name that holds the relevant record set; empty: no name
	// on the way up has one.
	FoundAt string
	Records []string // the relevant record set, printable
	// Steps say for a person, one line each, what was looked up and how each
	// record was judged.
	Steps []string
	// Lookups and Judgements are the same, taken apart. The last judgement is
	// the one that decided.
	Lookups    []CAALookup
	Judgements []CAAJudgement
}

func (d CAADecision) evidence() *acme.CAAEvidence {
	if d.CheckedAt.IsZero() {
		return nil
	}
	return &acme.CAAEvidence{CheckedAt: d.CheckedAt, FoundAt: d.FoundAt, Records: d.Records}
}

// Check decides on one name. Identifiers that are no DNS names have no CAA
// records (Baseline Requirements §4.2.2.1): all is permitted.
func (c CAAChecker) Check(ctx context.Context, req CAARequest) CAADecision {
	now := c.Now
	if now == nil {
		now = time.Now
	}
	d := CAADecision{CheckedAt: now().UTC()}
	if req.Identifier.Type() != acme.IdentifierDNS {
		return d
	}
	identities := c.Identities
	if own, ok := c.DirectoryIdentities[req.Directory]; ok {
		identities = own
	}
	if req.Identifier.IsOnion() {
		d.inBand(req, identities)
		return d
	}
	d.climb(ctx, c.Resolver, req, identities)
	return d
}

// climb looks for the relevant record set: that of the closest name on the
// way to the root which has one (RFC 8659 §3).
func (d *CAADecision) climb(ctx context.Context, resolver *dns.Resolver, req CAARequest, identities []string) {
	var questions []dns.Question
	for name := req.Identifier.Value(); name != ""; _, name, _ = strings.Cut(name, ".") {
		questions = append(questions, dns.Question{Name: name, Type: mdns.TypeCAA})
	}
	for group := range slices.Chunk(questions, climbTogether) {
		for _, answer := range resolver.Lookup(ctx, group...) {
			d.step("%s", answer)
			d.Lookups = append(d.Lookups, newCAALookup(answer))
			switch {
			case answer.Failed():
				// Not knowing is not permission (RFC 8659 §3; Baseline
				// Requirements §4.2.2.1).
				d.MayHeal = true
				d.Problem = acme.NewProblem(acme.DNS, "%s; without this look-up nobody knows whether issuing is allowed", answer.Problem())
				return
			case answer.Outcome == dns.Found:
				d.FoundAt = answer.Question.Name
				d.judge(answer.Records, req, identities)
				return
			}
		}
	}
	d.step("no CAA records from %s up to the root: every CA may issue", req.Identifier.Value())
}

// judge decides on the relevant record set.
func (d *CAADecision) judge(records []mdns.RR, req CAARequest, identities []string) {
	set := recordSet{}
	for i, rr := range records {
		caa, ok := rr.(*mdns.CAA)
		if !ok {
			d.forbid("a record at %s can't be read as CAA", d.FoundAt)
			return
		}
		if i < maxCAARecords {
			d.Records = append(d.Records, show(caa))
		}
		set.add(caa)
	}
	if set.unknown != nil {
		d.Judgements = append(d.Judgements, CAAJudgement{Record: show(set.unknown), Reason: "is critical and of an unknown tag"})
		d.forbid("the CAA record %s of %s is critical, and this CA does not know its tag", show(set.unknown), d.FoundAt)
		return
	}
	relevant := set.issue
	if req.Wildcard && len(set.issueWild) > 0 {
		relevant = set.issueWild
	}
	if len(relevant) == 0 {
		d.step("%s has no CAA record that restricts who may issue", d.FoundAt)
		return
	}
	reasons := make([]string, 0, len(relevant))
	for _, caa := range relevant {
		reason := refusal(caa.Value, req, identities)
		d.Judgements = append(d.Judgements, newCAAJudgement(show(caa), caa.Value, reason))
		if reason == "" {
			d.step("%s: permits", show(caa))
			return
		}
		d.step("%s: %s", show(caa), reason)
		reasons = append(reasons, show(caa)+" "+reason)
	}
	const most = 3
	text := strings.Join(reasons[:min(most, len(reasons))], "; ")
	if more := len(reasons) - most; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	if len(identities) > 0 {
		text += fmt.Sprintf(". To permit this CA, add a record such as 0 %s %q", relevant[0].Tag, identities[0])
	}
	d.forbid("the CAA records of %s do not permit it: %s", d.FoundAt, text)
}

// step records a step. What the records say is bounded by show.
func (d *CAADecision) step(format string, args ...any) {
	d.Steps = append(d.Steps, fmt.Sprintf(format, args...))
}

func (d *CAADecision) forbid(format string, args ...any) {
	d.Problem = acme.NewProblem(acme.CAA, format, args...)
	d.step("forbidden: "+format, args...)
}

// recordSet is a CAA record set by property.
type recordSet struct {
	issue, issueWild []*mdns.CAA
	unknown          *mdns.CAA // a critical record of an unknown property
}

func (s *recordSet) add(caa *mdns.CAA) {
	switch strings.ToLower(caa.Tag) {
	case "issue":
		s.issue = append(s.issue, caa)
	case "issuewild":
		s.issueWild = append(s.issueWild, caa)
	case "iodef", "issuemail", "issuevmc", "contactemail", "contactphone":
		// Known, and without effect on issuing for servers: RFC 8659 §4.4,
		// RFC 9495, and the Baseline Requirements' appendix A.
	default:
		// The critical flag is the bit of value 128 (RFC 8659 §4.1). Zones
		// that set 1 mean the same: RFC 6844 numbered the bits so that many
		// read it that way.
		if caa.Flag&(1<<7|1) != 0 && s.unknown == nil {
			s.unknown = caa
		}
	}
}

// refusal says why a record does not permit the request; empty: it does.
func refusal(value string, req CAARequest, identities []string) string {
	v, ok := parseCAAValue(value)
	switch {
	case !ok:
		return "is malformed and permits nobody"
	case v.issuer == "":
		return "permits nobody"
	case !slices.ContainsFunc(identities, func(id string) bool { return strings.EqualFold(id, v.issuer) }):
		return "permits another CA"
	}
	accounts := v.all("accounturi") // RFC 8657 §3
	switch {
	case len(accounts) > 1:
		return "has several accounturi parameters and permits nobody"
	case len(accounts) == 1 && (req.AccountURL == "" || accounts[0] != req.AccountURL):
		return fmt.Sprintf("permits this CA for another account than %q", req.AccountURL)
	}
	lists := v.all("validationmethods") // RFC 8657 §4
	if len(lists) == 0 {
		return ""
	}
	methods, ok := parseValidationMethods(lists[0])
	switch {
	case !ok || len(lists) > 1:
		return "has validationmethods that can't be understood and permits nobody"
	case !slices.Contains(methods, string(req.Method)):
		return fmt.Sprintf("permits this CA for other validation methods than %q", req.Method)
	}
	return ""
}

// show is a record in presentation form, printable and bounded.
func show(caa *mdns.CAA) string {
	tag := quote(caa.Tag)
	return fmt.Sprintf("%d %s %s", caa.Flag, tag[1:len(tag)-1], quote(caa.Value))
}
