package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// machine is the life of one order with two authorizations, as RFC 8555 §7.1.6
// draws it, beside the store's: what is done to one is done to the other, and
// they must agree at each step.
type machine struct {
	*suite
	rt    *rapid.T
	order acme.Order

	accountValid bool
	authz        [2]modelAuthorization
	cert         acme.Serial
	recorded     bool
	signed       bool
	failed       bool
}

type modelAuthorization struct {
	status     acme.AuthorizationStatus // without regard to the time
	expires    time.Time
	attempted  bool
	owner      string // of the lease; empty: none
	leaseUntil time.Time
	tries      int
}

func (m *machine) now() time.Time { return m.in(0) }

func (m *machine) authorizationStatus(i int) acme.AuthorizationStatus {
	a := m.authz[i]
	switch {
	case a.expires.After(m.now()):
		return a.status
	case a.status == acme.AuthorizationPending:
		return acme.AuthorizationInvalid
	case a.status == acme.AuthorizationValid:
		return acme.AuthorizationExpired
	}
	return a.status
}

func (m *machine) orderStatus() acme.OrderStatus {
	switch {
	case m.failed:
		return acme.OrderInvalid
	case m.signed:
		return acme.OrderValid
	case m.recorded:
		return acme.OrderProcessing
	case !m.order.Expires.After(m.now()):
		return acme.OrderInvalid
	}
	status := acme.OrderReady
	for i := range m.authz {
		switch m.authorizationStatus(i) {
		case acme.AuthorizationValid:
		case acme.AuthorizationPending:
			status = acme.OrderPending
		default:
			return acme.OrderInvalid
		}
	}
	return status
}

// agree checks the outcome of an operation against whether the model allows
// it.
func (m *machine) agree(what string, err error, allowed bool) bool {
	switch {
	case allowed && err != nil:
		m.rt.Fatalf("%s: %v", what, err)
	case !allowed && !errors.Is(err, sa.ErrConflict):
		m.rt.Fatalf("%s: error %v, want %v", what, err, sa.ErrConflict)
	}
	return allowed
}

func (m *machine) check() {
	order, err := m.Order(m.ctx, m.order.ID)
	if err != nil {
		m.rt.Fatal(err)
	}
	if want := m.orderStatus(); order.Status != want {
		m.rt.Fatalf("the order is %s, want %s", order.Status, want)
	}
	if named := m.recorded && !m.failed; !order.Certificate.IsZero() != named || named && order.Certificate != m.cert {
		m.rt.Fatalf("the order names certificate %q", order.Certificate)
	}
	for i := range m.authz {
		a, err := m.Authorization(m.ctx, m.order.Authorizations[i])
		if err != nil {
			m.rt.Fatal(err)
		}
		if want := m.authorizationStatus(i); a.Status != want {
			m.rt.Fatalf("authorization %d is %s, want %s", i, a.Status, want)
		}
		if (a.Attempt != nil) != m.authz[i].attempted || a.Attempt != nil && a.Attempt.Tries != m.authz[i].tries {
			m.rt.Fatalf("authorization %d has the attempt %+v", i, a.Attempt)
		}
	}
}

var machineSteps = map[string]func(*machine){
	"advance a little": func(m *machine) { m.clock.advance(40 * time.Second) },
	"advance a lot":    func(m *machine) { m.clock.advance(9 * time.Hour) },
	"begin": func(m *machine) {
		i, owner := m.pick()
		begin := m.beginOf(m.order.Authorizations[i])
		begin.Owner = owner
		_, err := m.BeginValidation(m.ctx, begin)
		allowed := m.accountValid && m.authorizationStatus(i) == acme.AuthorizationPending && !m.authz[i].attempted
		if m.agree("begin", err, allowed) {
			m.authz[i].attempted, m.authz[i].owner, m.authz[i].leaseUntil = true, owner, begin.LeaseUntil
		}
	},
	"retry": func(m *machine) {
		i, owner := m.pick()
		next := m.in(10 * time.Second)
		err := m.RetryValidation(m.ctx, sa.RetryValidation{Authorization: m.order.Authorizations[i], Owner: owner, Error: acme.NewProblem(acme.DNS, "no"), NextTry: next})
		if m.agree("retry", err, m.works(i, owner)) {
			m.authz[i].tries++
			m.authz[i].leaseUntil = next
		}
	},
	"succeed": func(m *machine) { m.complete(m.validOf) },
	"fail":    func(m *machine) { m.complete(m.invalidOf) },
	"claim": func(m *machine) {
		owner := m.pickOwner()
		until := m.in(time.Minute)
		claimed, err := m.ClaimValidations(m.ctx, sa.Claim{Owner: owner, LeaseUntil: until, Limit: 1 << 20})
		if err != nil {
			m.rt.Fatal(err)
		}
		got := make(map[acme.ID]bool)
		for _, a := range claimed {
			got[a.ID] = true
		}
		for i := range m.authz {
			a := &m.authz[i]
			due := a.owner != "" && !a.leaseUntil.After(m.now())
			if want := due && m.authorizationStatus(i) == acme.AuthorizationPending; got[m.order.Authorizations[i]] != want {
				m.rt.Fatalf("authorization %d was claimed: %v, want %v", i, !want, want)
			} else if want {
				a.owner, a.leaseUntil = owner, until
			}
		}
	},
	"deactivate authorization": func(m *machine) {
		i, _ := m.pick()
		_, err := m.DeactivateAuthorization(m.ctx, m.order.Authorizations[i])
		status := m.authorizationStatus(i)
		if m.agree("deactivate", err, status == acme.AuthorizationPending || status == acme.AuthorizationValid) {
			m.authz[i].status, m.authz[i].owner = acme.AuthorizationDeactivated, ""
		}
	},
	"deactivate account": func(m *machine) {
		status := acme.AccountDeactivated
		_, err := m.UpdateAccount(m.ctx, sa.AccountChange{Account: m.order.Account, Status: &status})
		m.agree("deactivate account", err, m.accountValid)
		m.accountValid = false
	},
	"record": func(m *machine) {
		i := m.issuanceOf(m.order)
		if m.agree("record", m.RecordIssuance(m.ctx, i), m.accountValid && m.orderStatus() == acme.OrderReady) {
			m.recorded, m.cert = true, i.Certificate.Serial
		}
	},
	"sign": func(m *machine) {
		if m.recorded && m.agree("sign", m.CompleteIssuance(m.ctx, m.cert, []byte("signed")), !m.signed && !m.failed) {
			m.signed = true
		}
	},
	"give up": func(m *machine) {
		if m.recorded && m.agree("give up", m.FailIssuance(m.ctx, m.cert, acme.NewProblem(acme.ServerInternal, "no")), !m.signed && !m.failed) {
			m.failed = true
		}
	},
}

func (m *machine) works(i int, owner string) bool {
	return m.authz[i].owner == owner && m.authorizationStatus(i) == acme.AuthorizationPending
}

func (m *machine) complete(result func(acme.ID) sa.ValidationResult) {
	i, owner := m.pick()
	r := result(m.order.Authorizations[i])
	r.Owner = owner
	_, err := m.CompleteValidation(m.ctx, r)
	if !m.agree("complete", err, m.works(i, owner)) {
		return
	}
	a := &m.authz[i]
	a.tries++
	a.owner = ""
	if a.status = acme.AuthorizationInvalid; r.Problem == nil {
		a.status, a.expires = acme.AuthorizationValid, r.Expires
	}
}

func (m *machine) pick() (int, string) {
	return rapid.IntRange(0, len(m.authz)-1).Draw(m.rt, "authorization"), m.pickOwner()
}

func (m *machine) pickOwner() string {
	return fmt.Sprint("process ", rapid.IntRange(1, 2).Draw(m.rt, "owner"))
}

var machineTests = map[string]func(*suite){
	"OrderStateMachine": func(s *suite) {
		names := slices.Sorted(maps.Keys(machineSteps))
		// Half of the steps are those that lead to a certificate, or most
		// orders would die young.
		names = append(names, "begin", "begin", "begin", "succeed", "succeed", "succeed", "record", "sign")
		rapid.Check(s.T, func(rt *rapid.T) {
			m := &machine{suite: s, rt: rt, order: s.order(s.account().ID, "a.example.com", "b.example.com"), accountValid: true}
			for i := range m.authz {
				m.authz[i] = modelAuthorization{status: acme.AuthorizationPending, expires: m.order.Expires}
			}
			for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), 5, 30).Draw(rt, "steps") {
				machineSteps[name](m)
				m.check()
			}
		})
	},
}
