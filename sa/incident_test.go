package sa_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/pgtest"
	"github.com/cairn-ca/cairn/sa"
	"github.com/cairn-ca/cairn/sa/storetest"
)

// Incidents are on *DB alone: no service offers them.
func TestIncidents(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{
		"SQLite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "cairn.db") },
		"Postgres": func(t *testing.T) string { return pgtest.Database(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testIncidents(t, url(t))
		})
	}
}

func testIncidents(t *testing.T, url string) {
	now := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	db, err := sa.Open(t.Context(), sa.Config{URL: url, Migrate: true, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	certs := storetest.Issue(t, db, clock, 3)
	id := acme.ID{15: 1}
	incident := sa.Incident{
		ID: id, Reason: acme.ReasonSuperseded, Deadline: now.Add(24 * time.Hour), Comment: "wrong policy", OpenedAt: now, OpenedBy: "operator x",
	}
	var serials []acme.Serial
	var orders []sa.RenewalOrder
	for i, c := range certs {
		serials = append(serials, c.Serial, c.Serial) // once is enough
		orders = append(orders, sa.RenewalOrder{
			ID: acme.ID{15: byte(i + 1)}, Serial: c.Serial, Start: now, End: now.Add(time.Hour), CreatedAt: now, By: "operator x",
		})
	}
	must(db.OpenIncident(t.Context(), incident, serials, orders))
	if order, err := db.RenewalOrder(t.Context(), certs[2]); err != nil || order.Serial != certs[2].Serial {
		t.Errorf("the incident's renewal order: %+v, %v", order, err)
	}
	must(db.Revoke(t.Context(), acme.Revocation{Serial: certs[0].Serial, At: now, Reason: acme.ReasonSuperseded, By: "operator x"}))

	wants := func(open bool, want ...sa.Incident) {
		t.Helper()
		got, err := db.Incidents(t.Context(), open)
		must(err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("incidents (-want +got)\n%s", diff)
		}
	}
	incident.Progress = sa.IncidentProgress{Certificates: 3, Revoked: 1, Outstanding: 2}
	wants(true, incident)
	list, err := db.IncidentCertificates(t.Context(), id, certs[0].Serial, 10)
	must(err)
	if len(list) != 2 || list[0].Serial != certs[1].Serial || list[0].Revocation != nil {
		t.Errorf("the certificates after the first are %v", list)
	}
	list, err = db.IncidentCertificates(t.Context(), id, acme.Serial{}, 1)
	must(err)
	if len(list) != 1 || list[0].Serial != certs[0].Serial || list[0].Revocation == nil {
		t.Errorf("the first certificate is %v", list)
	}

	now = certs[0].NotAfter
	incident.Progress = sa.IncidentProgress{Certificates: 3, Revoked: 1, Expired: 2}
	wants(false, incident)
	must(db.CloseIncident(t.Context(), id, now))
	incident.ClosedAt = now
	wants(false, incident)
	wants(true)
	if err := db.CloseIncident(t.Context(), id, now); !errors.Is(err, sa.ErrConflict) {
		t.Errorf("closing it twice: %v", err)
	}
	if err := db.CloseIncident(t.Context(), acme.ID{15: 9}, now); !errors.Is(err, sa.ErrNotFound) {
		t.Errorf("closing none: %v", err)
	}
}
