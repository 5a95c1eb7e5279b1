package ra

import (
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// Window is a suggested renewal window (RFC 9773 §4.2).
type Window struct{ Start, End time.Time }

// SuggestRenewal says when a certificate should be renewed. The window opens
// when two thirds of the lifetime are over (half of it for lifetimes under ten
// days) and is a twentieth of the lifetime long. Where in the window a client
// renews is its own random choice, and so certificates that were issued
// together spread. An operator's renewal order (nil: there is none) gives
// another window. A certificate that is revoked should be replaced at once:
// its window is past.
func SuggestRenewal(cert acme.Certificate, order *sa.RenewalOrder, now time.Time) Window {
	lifetime := cert.NotAfter.Sub(cert.NotBefore)
	switch {
	case cert.Revocation != nil:
		return past(now)
	case order != nil:
		return Window{Start: order.Start, End: order.End}
	}
	start := lifetime / 3 * 2
	if lifetime < 10*24*time.Hour {
		start = lifetime / 2
	}
	opens := cert.NotBefore.Add(start).Truncate(time.Second)
	return Window{Start: opens, End: opens.Add(max(lifetime/20, time.Minute)).Truncate(time.Second)}
}

// past is a window that is over: renew now (RFC 9773 §4.2).
func past(now time.Time) Window {
	end := now.Add(-time.Hour).Truncate(time.Second)
	return Window{Start: end.Add(-time.Hour), End: end}
}
