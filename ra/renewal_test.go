package ra

import (
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

func TestSuggestRenewal(t *testing.T) {
	t.Parallel()
	issued := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	for _, test := range []struct {
		lifetime, opens time.Duration
	}{{90 * day, 60 * day}, {6 * day, 3 * day}, {47 * day, 47 * day / 3 * 2}} {
		cert := acme.Certificate{NotBefore: issued, NotAfter: issued.Add(test.lifetime)}
		w := SuggestRenewal(cert, nil, issued)
		if want := issued.Add(test.opens).Truncate(time.Second); !w.Start.Equal(want) {
			t.Errorf("%s: opens %s, want %s", test.lifetime, w.Start, want)
		}
		if !w.End.After(w.Start) || !w.End.Before(cert.NotAfter) {
			t.Errorf("%s: window %v is empty or ends after the certificate", test.lifetime, w)
		}
		cert.Revocation = &acme.Revocation{}
		now := issued.Add(time.Hour)
		if w := SuggestRenewal(cert, nil, now); !w.End.Before(now) || !w.Start.Before(w.End) {
			t.Errorf("%s: window %v of a revoked certificate is not past", test.lifetime, w)
		}
	}
}
