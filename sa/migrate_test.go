package sa

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/pgtest"
)

// A store made by the first version, with rows in it, is brought up to date
// and goes on with what was under way.
func TestMigratesTheFirstVersion(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "cairn.db")
	for name, c := range map[string]struct {
		dialect          dialect
		driver, dsn, url string
	}{
		"sqlite":   {dialect: sqliteDialect, driver: "sqlite", dsn: path, url: "sqlite:" + path},
		"postgres": {dialect: postgresDialect, driver: "pgx"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.url == "" {
				c.url = pgtest.Database(t)
				c.dsn = c.url
			}
			makeFirstVersion(t, c.dialect, c.driver, c.dsn)
			if db, err := Open(t.Context(), Config{URL: c.url}); !errors.Is(err, ErrSchema) {
				t.Fatalf("opened without migrating: %v, %v", db, err)
			}
			now := func() time.Time { return time.UnixMicro(firstNow).UTC() }
			db, err := Open(t.Context(), Config{URL: c.url, Migrate: true, Now: now})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			checkFirstVersion(t, db)
		})
	}
}

const (
	firstNow     = int64(1_790_000_000_000_000)
	firstExpires = firstNow + int64(time.Hour/time.Microsecond)
	firstKey     = `{"crv":"P-256","kty":"EC","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
)

func firstID(n byte) acme.ID { return acme.ID{15: n} }

// makeFirstVersion makes a store of the first version: order 1 is signed, 2
// pending, 3 processing and 4 given up; 1 and 2 replace one certificate, as
// the first version let them, 4 another.
func makeFirstVersion(t *testing.T, d dialect, driver, dsn string) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	files, err := fs.Sub(d.migrations, d.name)
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(d.goose, db, files, goose.WithDisableGlobalRegistry(true), goose.WithTableName(versionTable))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	insert := func(statement string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	key, err := acme.ParseAccountKey([]byte(firstKey))
	if err != nil {
		t.Fatal(err)
	}
	account := firstID(100)
	insert(`INSERT INTO accounts (id, directory, status, thumbprint, jwk, external_key_id, created_at) VALUES ($1, 'default', 'valid', $2, $3, 'kid', $4)`,
		account[:], key.Thumbprint(), key.JSON(), firstNow)
	for n := byte(1); n <= 4; n++ {
		id, authz, status := firstID(n), firstID(n+10), "valid"
		if n == 2 {
			status = "pending"
		}
		insert(`INSERT INTO authorizations (id, account_id, identifier, status, expires, created_at, seed, offered, tries, validated_at)
VALUES ($1, $2, 'dns:example.com', $3, $4, $5, $6, 'http-01', 0, $5)`, authz[:], account[:], status, firstExpires, firstNow, make([]byte, len(acme.TokenSeed{})))
		insert(`INSERT INTO order_authorizations (order_id, position, authorization_id) VALUES ($1, 0, $2)`, id[:], authz[:])
		var replaces, problem, certificate any
		switch n {
		case 1:
			replaces, certificate = "a.b", []byte{1}
		case 2:
			replaces = "a.b"
		case 3:
			certificate = []byte{3}
		case 4:
			replaces, problem, certificate = "c.d", `{"type":"urn:ietf:params:acme:error:serverInternal"}`, []byte{4}
		}
		insert(`INSERT INTO orders (id, account_id, profile, identifiers, expires, created_at, replaces, error, certificate)
VALUES ($1, $2, 'default', '["dns:example.com"]', $3, $4, $5, $6, $7)`, id[:], account[:], firstExpires, firstNow, replaces, problem, certificate)
	}
	for serial, c := range map[byte]struct{ der, tbs, until any }{1: {der: []byte("signed")}, 3: {tbs: []byte("tbs"), until: firstExpires}, 4: {tbs: []byte("tbs")}} {
		order := firstID(serial)
		insert(`INSERT INTO certificates (serial, issuer, account_id, order_id, profile, crl_shard, not_before, not_after, recorded_at, lease_until, tbs, der)
VALUES ($1, $2, $3, $4, 'default', 0, $5, $6, $5, $7, $8, $9)`, []byte{serial}, make([]byte, 20), account[:], order[:], firstNow, firstExpires, c.until, c.tbs, c.der)
	}
}

func checkFirstVersion(t *testing.T, db *DB) {
	t.Helper()
	ctx := t.Context()
	a, err := db.Account(ctx, firstID(100))
	if err != nil || a.ExternalKeyID != "kid" {
		t.Fatalf("account by key %q: %v", a.ExternalKeyID, err)
	}
	keys, err := db.AccountKeys(ctx, a.ID)
	want := []acme.UsedKey{{Thumbprint: a.Key.Thumbprint(), Since: time.UnixMicro(firstNow).UTC()}}
	if diff := gocmp.Diff(want, keys); diff != "" || err != nil {
		t.Errorf("the account's keys: %v (-want +got)\n%s", err, diff)
	}
	wantStatus := func(n byte, want acme.OrderStatus) {
		t.Helper()
		o, err := db.Order(ctx, firstID(n))
		if err != nil || o.Status != want || o.AutoRenewal != nil {
			t.Fatalf("order %d: %+v, %v; want it %s", n, o, err, want)
		}
	}
	wantStatus(1, acme.OrderValid)
	wantStatus(2, acme.OrderPending)
	wantStatus(3, acme.OrderProcessing)
	wantStatus(4, acme.OrderInvalid)
	serial, err := acme.SerialFromBytes([]byte{3})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.CompleteIssuance(ctx, serial, []byte("signed")); err != nil {
		t.Fatal(err)
	}
	wantStatus(3, acme.OrderValid)

	names, err := acme.ParseIdentifier(acme.IdentifierDNS, "example.com")
	if err != nil {
		t.Fatal(err)
	}
	found, err := db.ReusableAuthorizations(ctx, ReuseQuery{Account: a.ID, Identifiers: []acme.Identifier{names}})
	if err != nil || len(found) != 1 || found[0].Subdomains {
		t.Fatalf("authorizations to reuse: %+v, %v", found, err)
	}
	replace := func(n byte, certID string) error {
		return db.CreateOrder(ctx, NewOrder{Order: acme.Order{
			ID: firstID(n), Account: a.ID, Profile: "default", Identifiers: []acme.Identifier{names}, Authorizations: []acme.ID{found[0].ID},
			Expires: time.UnixMicro(firstExpires), CreatedAt: time.UnixMicro(firstNow), Replaces: certID,
		}})
	}
	if diff := gocmp.Diff(error(ReplacedError{Order: firstID(1)}), replace(5, "a.b")); diff != "" {
		t.Errorf("replacing what a signed order replaced (-want +got)\n%s", diff)
	}
	if err := replace(6, "c.d"); err != nil {
		t.Errorf("replacing what an order that was given up replaced: %v", err)
	}
	var version int64
	if err := db.engine.read(ctx, false, func(ctx context.Context, s *session) error {
		return s.one(ctx, "SELECT max(version_id) FROM "+versionTable, nil, (*scanInt64)(&version))
	}); err != nil || version < 2 {
		t.Errorf("version %d, %v", version, err)
	}
}
