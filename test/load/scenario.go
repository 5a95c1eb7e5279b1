package main

import (
	"context"
	"fmt"
	"sync/atomic"
)

// Kinds of rounds.
const (
	kindIssue          = "issue"           // whole issuances
	kindExistingClient = "existing-client" // whole issuances by golang.org/x/crypto/acme as it stands
	kindNewOrder       = "new-order"       // newOrder alone
	kindNewNonce       = "new-nonce"       // newNonce alone
)

// Scenario is what the clients of a round do.
type Scenario struct {
	Kind string `json:"kind"`
	// Concurrency is how many clients, each with its own account, key and
	// connection, work at the same time without a pause.
	Concurrency int `json:"concurrency"`
	// Names is how many names an order has.
	Names int `json:"names"`
}

func (s Scenario) String() string {
	clients := fmt.Sprintf("%d clients", s.Concurrency)
	if s.Concurrency == 1 {
		clients = "1 client"
	}
	switch s.Kind {
	case kindExistingClient:
		return "issuance, x/crypto/acme, " + clients
	case kindNewOrder:
		return "newOrder, " + clients
	case kindNewNonce:
		return "newNonce, " + clients
	}
	if s.Names > 1 {
		return fmt.Sprintf("issuance, %d names, %s", s.Names, clients)
	}
	return "issuance, " + clients
}

// warmUp is how many operations each client does before it is measured, so
// that connections, caches and code paths are there.
func (s Scenario) warmUp() int {
	switch s.Kind {
	case kindExistingClient:
		return 0 // a few seconds each where a server asks for whole seconds
	case kindNewNonce:
		return 50
	}
	return 3
}

// operation is what a round repeats and measures.
type operation func(ctx context.Context) error

// worker is one client of a round.
type worker struct {
	do    operation
	close func()
}

// counters are shared by the clients of a round.
type counters struct {
	requests  atomic.Int64
	badNonces atomic.Int64
}

// worker makes one client with a new account, ready to do its operation.
func (g *generator) worker(ctx context.Context, target Target, s Scenario, count *counters) (worker, error) {
	if s.Kind == kindExistingClient {
		return g.existingClient(ctx, target, s, count)
	}
	signer, err := newSigner()
	if err != nil {
		return worker{}, err
	}
	c := &client{
		http:      target.httpClient(),
		signer:    signer,
		polling:   g.polling,
		responder: g.responder,
		requests:  &count.requests,
		badNonces: &count.badNonces,
	}
	if err := c.discover(ctx, target.Directory); err != nil {
		c.close()
		return worker{}, err
	}
	w := worker{close: c.close}
	switch s.Kind {
	case kindNewNonce:
		w.do = func(ctx context.Context) error {
			_, err := c.freshNonce(ctx)
			return err
		}
		return w, nil // needs no account
	case kindNewOrder:
		w.do = func(ctx context.Context) error {
			_, err := c.newOrder(ctx, randomNames(s.Names, g.suffix))
			return err
		}
	case kindIssue:
		w.do = func(ctx context.Context) error { return c.issue(ctx, randomNames(s.Names, g.suffix)) }
	default:
		c.close()
		return worker{}, fmt.Errorf("unknown kind of round %q", s.Kind)
	}
	if err := c.register(ctx); err != nil {
		c.close()
		return worker{}, err
	}
	return w, nil
}
