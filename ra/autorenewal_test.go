package ra

import (
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// RFC 8739 §3.1.1 and §3.3: from the first certificate to the last, each is
// there before half of the one before is over, and none outlives the end.
func TestRenewalPlan(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for _, a := range []acme.AutoRenewal{
		{Lifetime: 24 * time.Hour, End: start.Add(10 * 24 * time.Hour)},
		{Lifetime: 24 * time.Hour, End: start.Add(10*24*time.Hour + 7*time.Hour), Adjust: time.Hour},
		{Lifetime: 24 * time.Hour, End: start.Add(time.Hour)},
		{Lifetime: 5 * time.Second, End: start.Add(time.Minute)},
	} {
		at, certificates := start, 0
		var last time.Time
		for {
			notBefore, notAfter := renewalPeriod(&a, at)
			if notAfter.After(a.End) {
				t.Fatalf("%+v: a certificate until %v", a, notAfter)
			}
			if notBefore.After(at) || at.Sub(notBefore) != a.Adjust {
				t.Fatalf("%+v: the certificate of %v is valid from %v", a, at, notBefore)
			}
			if !last.IsZero() && !at.Before(last) {
				t.Fatalf("%+v: a gap from %v to %v", a, last, at)
			}
			last = notAfter
			if certificates++; certificates > 1000 {
				t.Fatalf("%+v: it never ends", a)
			}
			next := nextRenewal(&a, at)
			if next.IsZero() {
				break
			}
			if next.Sub(at) > a.Lifetime/2 {
				t.Fatalf("%+v: the one after %v is due at %v", a, at, next)
			}
			at = next
		}
		if !last.Equal(a.End) {
			t.Errorf("%+v: the last certificate ends at %v", a, last)
		}
	}
}

func TestCheckAutoRenewal(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	dir := testDirectory
	dir.AutoRenewal = &AutoRenewalPolicy{MinLifetime: time.Hour, MaxDuration: 30 * 24 * time.Hour}
	good := acme.AutoRenewal{End: now.Add(20 * 24 * time.Hour), Lifetime: 24 * time.Hour}
	tests := map[string]struct {
		dir    Directory
		change func(*NewOrder)
		ok     bool
	}{
		"good":                {dir, func(*NewOrder) {}, true},
		"starts later":        {dir, func(o *NewOrder) { o.AutoRenewal.Start = now.Add(time.Hour) }, true},
		"not on":              {testDirectory, func(*NewOrder) {}, false},
		"with notBefore":      {dir, func(o *NewOrder) { o.NotBefore = now }, false},
		"no end":              {dir, func(o *NewOrder) { o.AutoRenewal.End = time.Time{} }, false},
		"ends before":         {dir, func(o *NewOrder) { o.AutoRenewal.End = now.Add(-time.Hour) }, false},
		"lasts too long":      {dir, func(o *NewOrder) { o.AutoRenewal.End = now.Add(31 * 24 * time.Hour) }, false},
		"started long ago":    {dir, func(o *NewOrder) { o.AutoRenewal.Start = now.Add(-2 * time.Hour) }, false},
		"starts next week":    {dir, func(o *NewOrder) { o.AutoRenewal.Start = now.Add(7 * 24 * time.Hour) }, false},
		"short life":          {dir, func(o *NewOrder) { o.AutoRenewal.Lifetime = time.Minute }, false},
		"life over profile":   {dir, func(o *NewOrder) { o.AutoRenewal.Lifetime = 91 * 24 * time.Hour }, false},
		"adjust over profile": {dir, func(o *NewOrder) { o.AutoRenewal.Lifetime, o.AutoRenewal.Adjust = 60*24*time.Hour, 40*24*time.Hour }, false},
		"adjust over life":    {dir, func(o *NewOrder) { o.AutoRenewal.Adjust = 25 * time.Hour }, false},
		"GET not allowed":     {dir, func(o *NewOrder) { o.AutoRenewal.AllowGet = true }, false},
	}
	for name, test := range tests {
		a := good
		req := NewOrder{AutoRenewal: &a}
		test.change(&req)
		if err := test.dir.checkAutoRenewal(testProfile, req, now); (err == nil) != test.ok || err != nil && problemType(err) != acme.Malformed {
			t.Errorf("%s: %v, want ok %v", name, err, test.ok)
		}
	}
}
