package crl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/sa"
)

// leaser is the store's leases.
type leaser interface {
	Lease(ctx context.Context, lease sa.Lease) (bool, error)
}

// holding is a lease that is renewed while work goes on.
type holding struct {
	store       leaser
	now         func() time.Time
	name, owner string
	since       time.Time
}

// take takes the lease, unless another process has it.
func (h *holding) take(ctx context.Context) (bool, error) {
	now := h.now()
	held, err := h.store.Lease(ctx, sa.Lease{Name: h.name, Owner: h.owner, Until: now.Add(leaseFor)})
	h.since = now
	return held, err
}

// renew renews the lease when it is time to. A nil holding needs none.
func (h *holding) renew(ctx context.Context) error {
	if h == nil || h.now().Sub(h.since) < leaseFor/4 {
		return nil
	}
	held, err := h.take(ctx)
	if err == nil && !held {
		err = errors.New("another process took the work over")
	}
	return err
}

// release lets go at once, even when ctx ended: the next revocation may be
// another process's to publish.
func (h *holding) release(ctx context.Context) error {
	if _, err := h.store.Lease(context.WithoutCancel(ctx), sa.Lease{Name: h.name, Owner: h.owner, Until: h.now()}); err != nil {
		return fmt.Errorf("giving the lease back: %w", err)
	}
	return nil
}
