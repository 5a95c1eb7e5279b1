package chaos

import (
	"sync"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/responder"
	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// attempt is a challenge whose validation a test has brought to some point.
type attempt struct {
	point     string
	name      string
	order     rawacme.Order
	authz     rawacme.Authorization
	challenge rawacme.Challenge
	let       func() // has the web server answer
}

func newAttempt(t *testing.T, c *rawacme.Client, web *slowWeb, point string) *attempt {
	t.Helper()
	a := &attempt{point: point, name: harness.NewName("validation")}
	a.order = c.NewOrder(t, a.name)
	a.authz = c.Authorization(t, a.order.Authorizations[0])
	a.challenge = a.authz.Challenge(t, "http-01")
	a.let = web.hold(a.challenge.Token, c.KeyAuthorization(a.challenge.Token))
	return a
}

// finish polls as a client does, responds again where its response was lost,
// and gets its certificate.
func (a *attempt) finish(t *testing.T, s *harness.Server, c *rawacme.Client, victim string) {
	t.Helper()
	authz := c.Authorization(t, a.authz.URL)
	switch challenge := authz.Challenge(t, "http-01"); {
	case authz.Status == "pending" && challenge.Status == "pending" && a.point == pointAsked:
		c.Respond(t, challenge)
	case authz.Status == "pending" && challenge.Status != "processing":
		t.Errorf("after kill -9 of %s, %s: a response that was answered is forgotten: the challenge is %s", victim, a.point, challenge.Status)
	}
	if authz = c.Decided(t, a.authz.URL); authz.Status != "valid" {
		t.Fatalf("after kill -9 of %s, %s: the authorization is %s: %+v", victim, a.point, authz.Status, authz.Challenges)
	}
	chain := c.Finalize(t, a.order, rawacme.CSR(t, rawacme.NewKey(t), []string{a.name}))
	s.Verify(t, harness.Certificate{Chain: chain}, a.name)
}

// The points of a validation at which a process is killed.
const (
	pointAsked     = "before it was recorded that the client asked"
	pointBegun     = "before the validation connected"
	pointConnected = "while it was connected"
	pointKnown     = "before the result was recorded"
)

// Each of the processes that take part in a validation is killed while there
// is one validation at each point of its life. What was accepted goes on after
// the restart, no name is ever validated by two at once, and each client gets
// its certificate.
func TestKillAtEachPointOfAValidation(t *testing.T) {
	t.Parallel()
	for _, w := range []harness.Wiring{{Roles: true}, {Roles: true, Postgres: true}} {
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			s := start(t, w)
			c := s.Account(t)
			for _, victim := range []string{"wfe", "ra", "va"} {
				killAtEachPoint(t, s, c, victim)
			}
		})
	}
}

func killAtEachPoint(t *testing.T, s *harness.Server, c *rawacme.Client, victim string) {
	t.Helper()
	web := &slowWeb{arrived: make(chan struct{}, 100)}
	s.Names.SetHTTPHandler(web)
	asked, begun := newAttempt(t, c, web, pointAsked), newAttempt(t, c, web, pointBegun)
	connected, known := newAttempt(t, c, web, pointConnected), newAttempt(t, c, web, pointKnown)

	c.Respond(t, connected.challenge)
	<-web.arrived
	c.Respond(t, known.challenge)
	<-web.arrived

	// The look-up of this one's address is not answered.
	lookedUp := make(chan struct{}, 100)
	s.Names.SetFailure(begun.name, mdns.TypeA, responder.Failure{Answer: func(*mdns.Msg, bool) *mdns.Msg {
		lookedUp <- struct{}{}
		return nil
	}})
	c.Respond(t, begun.challenge)
	<-lookedUp

	// From here on nothing is recorded: the result of one, the response to
	// another.
	release := s.HoldWrites(t)
	results := s.Metric(t, "va", "cairn_va_validations_total", `type="http-01"`)
	known.let()
	rawacme.Poll(t, "the validation's result", func() bool {
		return s.Metric(t, "va", "cairn_va_validations_total", `type="http-01"`) > results
	})
	reads := s.Metric(t, "sa", "cairn_store_seconds_count", `operation="authorization"`)
	var responding sync.WaitGroup
	responding.Go(func() {
		// There may be no answer.
		_, _ = c.Try(t.Context(), asked.challenge.URL, map[string]any{})
	})
	rawacme.Poll(t, "the response to reach the registration authority", func() bool {
		return s.Metric(t, "sa", "cairn_store_seconds_count", `operation="authorization"`) > reads
	})

	s.Kill(victim)
	release()
	responding.Wait()
	s.Names.ClearFailure(begun.name, mdns.TypeA)
	for _, a := range []*attempt{asked, begun, connected} {
		a.let()
	}
	s.Up(t)
	c.Forget()
	for _, a := range []*attempt{asked, begun, connected, known} {
		a.finish(t, s, c, victim)
	}
	if twice := web.atOnce(); twice > 1 {
		t.Errorf("kill -9 of %s: a validation ran %d times at once", victim, twice)
	}
}

// Of two registration authorities one is killed for good, with validations
// under way in both. The survivor finishes all.
func TestSurvivorTakesOver(t *testing.T) {
	t.Parallel()
	for _, w := range []harness.Wiring{{Roles: true}, {Roles: true, Postgres: true}} {
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			s := startWith(t, w, "ra")
			c := s.Account(t)
			web := &slowWeb{arrived: make(chan struct{}, 100)}
			s.Names.SetHTTPHandler(web)
			var attempts []*attempt
			busy := func(ra string) bool { return s.Metric(t, ra, "cairn_ra_validations_in_flight", "") > 0 }
			rawacme.Poll(t, "both to have validations under way", func() bool {
				if len(attempts) < 20 { // the front end takes turns, once it has reached both
					a := newAttempt(t, c, web, pointConnected)
					c.Respond(t, a.challenge)
					<-web.arrived
					attempts = append(attempts, a)
				}
				return busy("ra") && busy(harness.Replica("ra"))
			})
			s.Kill("ra")
			for _, a := range attempts {
				a.let()
			}
			c.Forget()
			for _, a := range attempts {
				a.finish(t, s, c, "one ra of two")
			}
			if twice := web.atOnce(); twice > 1 {
				t.Errorf("a validation ran %d times at once", twice)
			}
		})
	}
}
