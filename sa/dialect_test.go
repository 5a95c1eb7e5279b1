package sa

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/pgtest"
)

// databases opens an empty store on each database.
func databases(t *testing.T) map[string]*DB {
	t.Helper()
	stores := make(map[string]*DB)
	for name, url := range map[string]string{
		"sqlite":   "sqlite:" + filepath.Join(t.TempDir(), "cairn.db"),
		"postgres": pgtest.Database(t),
	} {
		db, err := Open(t.Context(), Config{URL: url, Migrate: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		stores[name] = db
	}
	return stores
}

// Arguments are bound by their number, not by the order of appearance: some
// drivers for SQLite get that wrong in silence.
func TestArgumentsAreBoundByNumber(t *testing.T) {
	t.Parallel()
	for name, db := range databases(t) {
		var a, b, c string
		check := func(ctx context.Context, s *session) error {
			return s.one(ctx, "SELECT CAST($2 AS TEXT), CAST($1 AS TEXT), CAST($2 AS TEXT)", []any{"one", "two"},
				(*scanText)(&a), (*scanText)(&b), (*scanText)(&c))
		}
		for what, run := range map[string]func() error{
			"read":  func() error { return db.engine.read(t.Context(), false, check) },
			"write": func() error { return db.engine.write(t.Context(), check) },
		} {
			if err := run(); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(a, b, c); got != "twoonetwo" {
				t.Errorf("%s, %s: bound as %s", name, what, got)
			}
		}
	}
}

// Both databases have the same tables with the same columns in the same order,
// the same keys and the same indexes.
func TestSchemasAreTheSame(t *testing.T) {
	t.Parallel()
	stores := databases(t)
	schema := make(map[string]map[string][]string)
	for name, db := range stores {
		schema[name] = columns(t, db)
	}
	if diff := gocmp.Diff(schema["sqlite"], schema["postgres"]); diff != "" {
		t.Errorf("(-sqlite +postgres)\n%s", diff)
	}
	if len(schema["sqlite"]) < 10 {
		t.Errorf("only the tables %v were compared", slices.Collect(maps.Keys(schema["sqlite"])))
	}
	files := func(d dialect) []string {
		names, err := fs.Glob(d.migrations, d.name+"/*")
		if err != nil {
			t.Fatal(err)
		}
		for i := range names {
			names[i] = strings.TrimPrefix(names[i], d.name+"/")
		}
		return names
	}
	if diff := gocmp.Diff(files(sqliteDialect), files(postgresDialect)); diff != "" {
		t.Errorf("the migrations differ (-sqlite +postgres)\n%s", diff)
	}
}

// columns lists, for each table, its columns with their types in the words of
// SQLite, and its indexes.
func columns(t *testing.T, db *DB) map[string][]string {
	t.Helper()
	columnQuery := `SELECT m.name, c.name || ' ' || c.type || CASE WHEN c."notnull" THEN ' not null' ELSE '' END
FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name, c.cid`
	indexQuery := `SELECT m.name, CASE WHEN i."unique" THEN 'unique' ELSE 'index' END || CASE WHEN i.partial THEN ' partial' ELSE '' END
  || (SELECT group_concat(' ' || x.name, '') FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno) x)
FROM sqlite_schema m JOIN pragma_index_list(m.name) i WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'`
	if db.name == "postgres" {
		columnQuery = `SELECT table_name, column_name || ' ' || CASE data_type WHEN 'bytea' THEN 'BLOB' WHEN 'text' THEN 'TEXT' ELSE 'INTEGER' END
  || CASE WHEN is_nullable = 'NO' THEN ' not null' ELSE '' END
FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position`
		indexQuery = `SELECT t.relname, CASE WHEN i.indisunique THEN 'unique' ELSE 'index' END || CASE WHEN i.indpred IS NULL THEN '' ELSE ' partial' END
  || (SELECT string_agg(' ' || a.attname, '' ORDER BY k.n) FROM unnest(i.indkey) WITH ORDINALITY AS k(attnum, n) JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum)
FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = current_schema()`
	}
	tables := make(map[string][]string)
	err := db.engine.read(t.Context(), false, func(ctx context.Context, s *session) error {
		for _, query := range []string{columnQuery, indexQuery} {
			found := make(map[string][]string)
			if err := s.all(ctx, query, nil, func(rows *sql.Rows) error {
				var table, what string
				if err := rows.Scan(&table, &what); err != nil {
					return err
				}
				found[table] = append(found[table], what)
				return nil
			}); err != nil {
				return err
			}
			for table, list := range found {
				if table == versionTable {
					continue // goose's own
				}
				if query == indexQuery {
					slices.Sort(list)
				}
				tables[table] = append(tables[table], list...)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// No statement of SQLite's reads a whole table or sorts more than a page.
func TestStatementsUseIndexes(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "cairn.db"), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	statements := map[string]string{
		"selectAccount": selectAccount, "selectAccountByKey": selectAccountByKey, "updateAccount": updateAccount, "changeAccountKey": changeAccountKey,
		"selectOrder": selectOrder, "selectOrders": selectOrders, "insertOrder": insertOrder, "insertAutoRenewalOrder": insertAutoRenewalOrder,
		"selectAuthorization": selectAuthorization, "deactivateAuthorization": deactivateAuthorization, "recordCAA": recordCAA,
		"reusableAuthorizations": reusableAuthorizations + placeholders(5, 3),
		"reusableSubdomains":     reusableAuthorizations + placeholders(5, 3) + reusableSubdomains + placeholders(8, 4),
		"beginValidation":        beginValidation, "retryValidation": retryValidation, "completeValidation": completeValidation, "validationsDue": db.queries.validationsDue,
		"claimValidations": db.queries.claimValidations, "claimIssuances": db.queries.claimIssuances, "issuanceDue": issuanceDue,
		"selectCertificate": selectCertificate, "finalizeOrder": finalizeOrder, "completeIssuance": completeIssuance, "failIssuance": failIssuance, "failOrder": failOrder,
		"insertRevocation": insertRevocation, "selectRevocations": selectRevocations, "latestRevocation": latestRevocation,
		"selectCRL": selectCRL, "publishCRL": publishCRL, "selectIssuer": selectIssuer, "deleteIssuerCertificates": deleteIssuerCertificates,
		"keyBlocked": keyBlocked, "takeLease": takeLease,
		"insertAuthorizationAlone": insertAuthorizationAlone,
		"selectExternalKey":        selectExternalKey, "selectExternalKeys": selectExternalKeys, "revokeExternalKey": revokeExternalKey, "useExternalKey": useExternalKey,
		"selectRenewalOrder": selectRenewalOrder, "selectReplacement": selectReplacement, "updateReplacement": updateReplacement,
		"selectAutoRenewal": selectAutoRenewal, "beginFirstIssuance": beginFirstIssuance, "beginRenewal": beginRenewal, "renewOrder": renewOrder,
		"completeRenewal": completeRenewal, "failRenewal": failRenewal, "cancelOrder": cancelOrder, "renewalDue": renewalDue,
		"claimRenewals": db.queries.claimRenewals, "finalizeAutoRenewalOrder": finalizeAutoRenewalOrder, "completeAutoRenewalIssuance": completeAutoRenewalIssuance,
	}
	for _, name := range slices.SortedFunc(maps.Keys(statements), cmp.Compare) {
		var plan []string
		err := db.engine.read(t.Context(), false, func(ctx context.Context, s *session) error {
			args := make([]any, strings.Count(statements[name], "$"))
			for i := range args {
				args[i] = acme.ID{}.String()
			}
			return s.all(ctx, "EXPLAIN QUERY PLAN "+statements[name], args, func(rows *sql.Rows) error {
				var id, parent, unused int
				var detail string
				if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
					return err
				}
				plan = append(plan, detail)
				return nil
			})
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if name == "validationsDue" {
			// It ranks what its window holds, which it finds by the index.
			if !slices.ContainsFunc(plan, func(step string) bool {
				return strings.HasPrefix(step, "SEARCH authorizations USING INDEX authorizations_lease (lease_until<?)")
			}) {
				t.Errorf("%s: %s", name, strings.Join(plan, "; "))
			}
			continue
		}
		for _, step := range plan {
			if strings.HasPrefix(step, "SCAN") && step != "SCAN due" && !strings.HasPrefix(step, "SCAN json_each") && step != "SCAN any_at_all" && step != "SCAN CONSTANT ROW" || strings.Contains(step, "TEMP B-TREE") {
				t.Errorf("%s: %s", name, strings.Join(plan, "; "))
				break
			}
		}
	}
}
