package sa

import (
	"context"
	"fmt"
)

const takeLease = `INSERT INTO leases (name, owner, held_until) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, held_until = excluded.held_until
WHERE leases.owner = excluded.owner OR leases.held_until <= $4`

// Lease implements CertificateStore.
func (d *DB) Lease(ctx context.Context, lease Lease) (held bool, err error) {
	err = d.write(ctx, opLease, func(ctx context.Context, s *session) error {
		n, err := s.exec(ctx, takeLease, lease.Name, lease.Owner, lease.Until.UnixMicro(), d.micros())
		if err != nil {
			return fmt.Errorf("taking the lease %q: %w", lease.Name, err)
		}
		held = n == 1
		return nil
	})
	return held, err
}
