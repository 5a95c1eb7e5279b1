package ct

import (
	"fmt"
	"slices"
	"time"
)

// Policy says which SCTs a certificate needs.
type Policy struct {
	// SCTs is the number of SCTs, each of another log; 0: as Chrome and Apple
	// want it for the certificate's lifetime.
	SCTs int
	// Operators is how many operators the logs have at least; 0: 2.
	Operators int
}

// rule is a row of the browsers' policies.
type rule struct {
	upTo time.Duration // lifetime, notBefore to notAfter, both included; 0: any
	scts int
}

// rules are what SCTs in certificates must be. Source: Chrome Certificate
// Transparency Policy (repository of 2026-07-22) and Apple's, which have the
// same numbers: up to 180 days two, beyond three, of distinct logs.
var rules = []rule{
	{upTo: 180 * 24 * time.Hour, scts: 2},
	{scts: 3},
}

// defaultOperators: the SCTs are of logs of at least two operators, by the
// same policies.
const defaultOperators = 2

// needs is the policy for one certificate.
type needs struct{ scts, operators int }

func (p Policy) of(notBefore, notAfter time.Time) needs {
	n := needs{p.SCTs, p.Operators}
	if n.operators == 0 {
		n.operators = defaultOperators
	}
	if n.scts == 0 {
		lifetime := notAfter.Sub(notBefore) + time.Second
		i := slices.IndexFunc(rules, func(r rule) bool { return r.upTo == 0 || lifetime <= r.upTo })
		n.scts = rules[i].scts
	}
	n.scts = max(n.scts, n.operators)
	return n
}

func (n needs) String() string {
	return fmt.Sprintf("%d logs of %d operators", n.scts, n.operators)
}

// choose takes the SCTs that meet the policy, no more than needed; nil: they
// don't meet it.
func (n needs) choose(got []received) []received {
	if len(got) < n.scts {
		return nil
	}
	var chosen, rest []received
	seen := make(map[string]bool)
	for _, r := range got {
		if !seen[r.log.Operator] && len(seen) < n.operators {
			seen[r.log.Operator] = true
			chosen = append(chosen, r)
		} else {
			rest = append(rest, r)
		}
	}
	if len(seen) < n.operators {
		return nil
	}
	return append(chosen, rest[:n.scts-len(chosen)]...)
}

// met tells whether logs could meet the policy if each answered.
func (n needs) met(logs []*Log) bool {
	operators := make(map[string]bool)
	for _, l := range logs {
		operators[l.Operator] = true
	}
	return len(logs) >= n.scts && len(operators) >= n.operators
}
