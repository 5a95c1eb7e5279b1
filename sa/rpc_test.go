package sa_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/rpctest"
	"github.com/cairn-ca/cairn/internal/rpc/sapb"
	"github.com/cairn-ca/cairn/sa"
	"github.com/cairn-ca/cairn/sa/storetest"
)

// recorded is a Store that notes its calls.
type recorded struct{ *rpctest.Recorder }

func (r recorded) Close() error { return errors.New("a client closed the store") }

func (r recorded) Account(_ context.Context, id acme.ID) (acme.Account, error) {
	r.Call("Account", id)
	return rpctest.Result[acme.Account](r.Recorder, 0), r.Err()
}

func (r recorded) AccountByKey(_ context.Context, directory, thumbprint string) (acme.Account, error) {
	r.Call("AccountByKey", directory, thumbprint)
	return rpctest.Result[acme.Account](r.Recorder, 0), r.Err()
}

func (r recorded) AccountKeys(_ context.Context, account acme.ID) ([]acme.UsedKey, error) {
	r.Call("AccountKeys", account)
	return rpctest.Result[[]acme.UsedKey](r.Recorder, 0), r.Err()
}

func (r recorded) Order(_ context.Context, id acme.ID) (acme.Order, error) {
	r.Call("Order", id)
	return rpctest.Result[acme.Order](r.Recorder, 0), r.Err()
}

func (r recorded) Orders(_ context.Context, page sa.OrderPage) ([]acme.ID, error) {
	r.Call("Orders", page)
	return rpctest.Result[[]acme.ID](r.Recorder, 0), r.Err()
}

func (r recorded) Authorization(_ context.Context, id acme.ID) (acme.Authorization, error) {
	r.Call("Authorization", id)
	return rpctest.Result[acme.Authorization](r.Recorder, 0), r.Err()
}

func (r recorded) Certificate(_ context.Context, serial acme.Serial) (acme.Certificate, error) {
	r.Call("Certificate", serial)
	return rpctest.Result[acme.Certificate](r.Recorder, 0), r.Err()
}

func (r recorded) Issuer(_ context.Context, id acme.IssuerID) (acme.Issuer, error) {
	r.Call("Issuer", id)
	return rpctest.Result[acme.Issuer](r.Recorder, 0), r.Err()
}

func (r recorded) Issuers(_ context.Context) ([]acme.Issuer, error) {
	r.Call("Issuers")
	return rpctest.Result[[]acme.Issuer](r.Recorder, 0), r.Err()
}

func (r recorded) CRL(_ context.Context, issuer acme.IssuerID, shard int) (sa.CRL, error) {
	r.Call("CRL", issuer, shard)
	return rpctest.Result[sa.CRL](r.Recorder, 0), r.Err()
}

func (r recorded) RenewalOrder(_ context.Context, cert acme.Certificate) (sa.RenewalOrder, error) {
	r.Call("RenewalOrder", cert)
	return rpctest.Result[sa.RenewalOrder](r.Recorder, 0), r.Err()
}

func (r recorded) Ping(_ context.Context) error {
	r.Call("Ping")
	return r.Err()
}

func (r recorded) CreateAccount(_ context.Context, account acme.Account) (acme.Account, bool, error) {
	r.Call("CreateAccount", account)
	return rpctest.Result[acme.Account](r.Recorder, 0), rpctest.Result[bool](r.Recorder, 1), r.Err()
}

func (r recorded) UpdateAccount(_ context.Context, change sa.AccountChange) (acme.Account, error) {
	r.Call("UpdateAccount", change)
	return rpctest.Result[acme.Account](r.Recorder, 0), r.Err()
}

func (r recorded) ChangeAccountKey(_ context.Context, change sa.KeyChange) (acme.Account, error) {
	r.Call("ChangeAccountKey", change)
	return rpctest.Result[acme.Account](r.Recorder, 0), r.Err()
}

func (r recorded) CreateOrder(_ context.Context, order sa.NewOrder) error {
	r.Call("CreateOrder", order)
	return r.Err()
}

func (r recorded) ReusableAuthorizations(_ context.Context, query sa.ReuseQuery) ([]acme.Authorization, error) {
	r.Call("ReusableAuthorizations", query)
	return rpctest.Result[[]acme.Authorization](r.Recorder, 0), r.Err()
}

func (r recorded) CreateAuthorization(_ context.Context, authorization acme.Authorization) error {
	r.Call("CreateAuthorization", authorization)
	return r.Err()
}

func (r recorded) DeactivateAuthorization(_ context.Context, id acme.ID) (acme.Authorization, error) {
	r.Call("DeactivateAuthorization", id)
	return rpctest.Result[acme.Authorization](r.Recorder, 0), r.Err()
}

func (r recorded) BeginValidation(_ context.Context, begin sa.BeginValidation) (acme.Authorization, error) {
	r.Call("BeginValidation", begin)
	return rpctest.Result[acme.Authorization](r.Recorder, 0), r.Err()
}

func (r recorded) ClaimValidations(_ context.Context, claim sa.Claim) ([]acme.Authorization, error) {
	r.Call("ClaimValidations", claim)
	return rpctest.Result[[]acme.Authorization](r.Recorder, 0), r.Err()
}

func (r recorded) RetryValidation(_ context.Context, retry sa.RetryValidation) error {
	r.Call("RetryValidation", retry)
	return r.Err()
}

func (r recorded) CompleteValidation(_ context.Context, result sa.ValidationResult) (acme.Authorization, error) {
	r.Call("CompleteValidation", result)
	return rpctest.Result[acme.Authorization](r.Recorder, 0), r.Err()
}

func (r recorded) RecordCAA(_ context.Context, evidence map[acme.ID]acme.CAAEvidence) error {
	r.Call("RecordCAA", evidence)
	return r.Err()
}

func (r recorded) RecordIssuance(_ context.Context, issuance sa.Issuance) error {
	r.Call("RecordIssuance", issuance)
	return r.Err()
}

func (r recorded) ClaimIssuances(_ context.Context, claim sa.Claim) ([]acme.Certificate, error) {
	r.Call("ClaimIssuances", claim)
	return rpctest.Result[[]acme.Certificate](r.Recorder, 0), r.Err()
}

func (r recorded) CompleteIssuance(_ context.Context, serial acme.Serial, der []byte) error {
	r.Call("CompleteIssuance", serial, der)
	return r.Err()
}

func (r recorded) RecordPrecertificate(_ context.Context, serial acme.Serial, der []byte) error {
	r.Call("RecordPrecertificate", serial, der)
	return r.Err()
}

func (r recorded) RecordSCTs(_ context.Context, serial acme.Serial, tbs []byte) error {
	r.Call("RecordSCTs", serial, tbs)
	return r.Err()
}

func (r recorded) ClaimSubmissions(_ context.Context, claim sa.Claim) ([]acme.Certificate, error) {
	r.Call("ClaimSubmissions", claim)
	return rpctest.Result[[]acme.Certificate](r.Recorder, 0), r.Err()
}

func (r recorded) CompleteSubmission(_ context.Context, serial acme.Serial) error {
	r.Call("CompleteSubmission", serial)
	return r.Err()
}

func (r recorded) FailIssuance(_ context.Context, serial acme.Serial, problem *acme.Problem) error {
	r.Call("FailIssuance", serial, problem)
	return r.Err()
}

func (r recorded) Revoke(_ context.Context, revocation acme.Revocation) error {
	r.Call("Revoke", revocation)
	return r.Err()
}

func (r recorded) Revocations(_ context.Context, page sa.RevocationPage) ([]acme.Revocation, error) {
	r.Call("Revocations", page)
	return rpctest.Result[[]acme.Revocation](r.Recorder, 0), r.Err()
}

func (r recorded) LatestRevocation(_ context.Context, issuer acme.IssuerID, shard int) (time.Time, error) {
	r.Call("LatestRevocation", issuer, shard)
	return rpctest.Result[time.Time](r.Recorder, 0), r.Err()
}

func (r recorded) PublishCRL(_ context.Context, crl sa.CRL) error {
	r.Call("PublishCRL", crl)
	return r.Err()
}

func (r recorded) PutIssuer(_ context.Context, issuer acme.Issuer) error {
	r.Call("PutIssuer", issuer)
	return r.Err()
}

func (r recorded) BlockKey(_ context.Context, key sa.BlockedKey) error {
	r.Call("BlockKey", key)
	return r.Err()
}

func (r recorded) KeyBlocked(_ context.Context, spkiSHA256 [32]byte) (bool, error) {
	r.Call("KeyBlocked", spkiSHA256)
	return rpctest.Result[bool](r.Recorder, 0), r.Err()
}

func (r recorded) Lease(_ context.Context, lease sa.Lease) (bool, error) {
	r.Call("Lease", lease)
	return rpctest.Result[bool](r.Recorder, 0), r.Err()
}

func (r recorded) CreateExternalKey(_ context.Context, key sa.ExternalKey) error {
	r.Call("CreateExternalKey", key)
	return r.Err()
}

func (r recorded) ExternalKey(_ context.Context, directory, id string) (sa.ExternalKey, error) {
	r.Call("ExternalKey", directory, id)
	return rpctest.Result[sa.ExternalKey](r.Recorder, 0), r.Err()
}

func (r recorded) ExternalKeys(_ context.Context, directory string) ([]sa.ExternalKey, error) {
	r.Call("ExternalKeys", directory)
	return rpctest.Result[[]sa.ExternalKey](r.Recorder, 0), r.Err()
}

func (r recorded) RevokeExternalKey(_ context.Context, directory, id string, at time.Time) error {
	r.Call("RevokeExternalKey", directory, id, at)
	return r.Err()
}

func (r recorded) CreateRenewalOrder(_ context.Context, order sa.RenewalOrder) error {
	r.Call("CreateRenewalOrder", order)
	return r.Err()
}

func (r recorded) RenewalOrders(_ context.Context) ([]sa.RenewalOrder, error) {
	r.Call("RenewalOrders")
	return rpctest.Result[[]sa.RenewalOrder](r.Recorder, 0), r.Err()
}

func (r recorded) CancelOrder(_ context.Context, order acme.ID, at time.Time) (acme.Order, error) {
	r.Call("CancelOrder", order, at)
	return rpctest.Result[acme.Order](r.Recorder, 0), r.Err()
}

func (r recorded) ClaimRenewals(_ context.Context, claim sa.Claim) ([]acme.Order, error) {
	r.Call("ClaimRenewals", claim)
	return rpctest.Result[[]acme.Order](r.Recorder, 0), r.Err()
}

func (r recorded) RecordRenewal(_ context.Context, issuance sa.Issuance) error {
	r.Call("RecordRenewal", issuance)
	return r.Err()
}

func (r recorded) Certificates(_ context.Context, page sa.CertificatePage) ([]acme.Certificate, error) {
	r.Call("Certificates", page)
	return rpctest.Result[[]acme.Certificate](r.Recorder, 0), r.Err()
}

func (r recorded) KeysToSweep(_ context.Context, before time.Time, limit int) ([]sa.BlockedKey, error) {
	r.Call("KeysToSweep", before, limit)
	return rpctest.Result[[]sa.BlockedKey](r.Recorder, 0), r.Err()
}

func (r recorded) RecordKeySweep(_ context.Context, sweep sa.KeySweep) error {
	r.Call("RecordKeySweep", sweep)
	return r.Err()
}

func TestRPC(t *testing.T) {
	t.Parallel()
	recorder := &rpctest.Recorder{}
	grants := []rpc.Grant{{Service: rpc.RoleSA.Service(), Clients: []string{rpc.RoleRA.Name()}}}
	conn := rpctest.Connect(t, rpc.RoleSA, rpc.RoleRA, grants, func(s grpc.ServiceRegistrar) {
		sa.RegisterServer(s, recorded{recorder})
	})
	client := sa.NewClient(conn)
	rpctest.RoundTrip(t, client, recorder, "Close")

	var filler rpctest.Filler
	id := filler.Value(t, reflect.TypeFor[acme.ID]()).Interface().(acme.ID)
	kinds := []error{sa.ErrNotFound, sa.ErrConflict, sa.KeyInUseError{Account: id}, sa.ReplacedError{Order: id}}
	errs := append(rpctest.CommonErrors(t), kinds...)
	for _, kind := range kinds {
		errs = append(errs, fmt.Errorf("storing a thing: %w", kind))
	}
	errs = append(errs, errors.Join(sa.ErrNotFound, acme.NewProblem(acme.Malformed, "both")))
	rpctest.Errors(t, client, recorder, errs, kinds, "Close")
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}

// A message without what must be in it changes nothing.
func TestRPCRefusesMissingFields(t *testing.T) {
	t.Parallel()
	recorder := &rpctest.Recorder{}
	grants := []rpc.Grant{{Service: rpc.RoleSA.Service(), Clients: []string{rpc.RoleRA.Name()}}}
	conn := rpctest.Connect(t, rpc.RoleSA, rpc.RoleRA, grants, func(s grpc.ServiceRegistrar) {
		sa.RegisterServer(s, recorded{recorder})
	})
	client := reflect.ValueOf(sapb.NewStorageAuthorityClient(conn))
	// These methods' requests have only fields that may be empty.
	lenient := []string{"Issuers", "Ping", "AccountByKey", "ClaimValidations", "ClaimIssuances", "ClaimSubmissions", "RecordCAA", "Lease",
		"ExternalKey", "ExternalKeys", "RevokeExternalKey", "RenewalOrders", "ClaimRenewals", "Certificates", "KeysToSweep"}
	for i := range client.NumMethod() {
		method := client.Type().Method(i)
		if slices.Contains(lenient, method.Name) {
			continue
		}
		req := reflect.New(method.Type.In(2).Elem())
		out := client.Method(i).Call([]reflect.Value{reflect.ValueOf(t.Context()), req})
		if err, _ := out[1].Interface().(error); err == nil {
			t.Errorf("%s takes an empty request", method.Name)
		}
	}
	if !reflect.ValueOf(*recorder).IsZero() {
		t.Error("the store was called")
	}
}

// What internal/rpc grants by name is what the interfaces have.
func TestRPCGrants(t *testing.T) {
	t.Parallel()
	grants := map[string][]string{}
	for _, g := range rpc.Grants(rpc.RoleSA, nil) {
		grants[g.Clients[0]] = g.Methods
	}
	reader := methodsOf(reflect.TypeFor[sa.Reader]())
	for client, want := range map[rpc.Role][]string{
		rpc.RoleWFE: reader,
		rpc.RoleCA:  slices.Concat(reader, methodsOf(reflect.TypeFor[sa.CertificateStore]()), []string{"RecordRenewal"}),
	} {
		if got := slices.Sorted(slices.Values(grants[client.Name()])); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("%s may call %v, want %v", client, got, want)
		}
	}
	all := slices.Concat(reader, methodsOf(reflect.TypeFor[sa.AccountStore]()), methodsOf(reflect.TypeFor[sa.OrderStore]()))
	for _, method := range append(all, "ExternalKey", "CancelOrder", "ClaimRenewals") {
		if !slices.Contains(grants[rpc.RoleRA.Name()], method) {
			t.Errorf("ra may not call %s", method)
		}
	}
	for _, method := range []string{"RecordIssuance", "CompleteIssuance", "PublishCRL", "PutIssuer", "RecordRenewal", "CreateExternalKey", "RevokeExternalKey", "CreateRenewalOrder"} {
		if slices.Contains(grants[rpc.RoleRA.Name()], method) {
			t.Errorf("ra may call %s", method)
		}
	}
}

func methodsOf(iface reflect.Type) []string {
	var names []string
	for i := range iface.NumMethod() {
		names = append(names, iface.Method(i).Name)
	}
	return names
}

// remote is a store that is reached over gRPC, and closed with its server.
type remote struct {
	sa.Store
	close func() error
}

func (r remote) Close() error { return r.close() }

// The conformance suite over gRPC: the contract does not depend on the wiring.
func TestSQLiteOverRPC(t *testing.T) {
	t.Parallel()
	dir := rpctest.Certificates(t, "sa", "ra")
	logger := slog.New(slog.DiscardHandler)
	local := opener(func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "cairn.db") })
	storetest.Run(t, func(t *testing.T, now func() time.Time) sa.Store {
		t.Helper()
		store := local(t, now)
		server, err := rpc.NewServer(rpc.ServerConfig{
			TLS:    rpctest.Files(dir, "sa"),
			Grants: []rpc.Grant{{Service: rpc.RoleSA.Service(), Clients: []string{rpc.RoleRA.Name()}}},
			Now:    time.Now,
			Logger: logger,
		})
		if err != nil {
			t.Fatal(err)
		}
		sa.RegisterServer(server, store)
		address, stop := rpctest.Serve(t, server)
		conn, err := rpc.Dial(rpc.ClientConfig{
			TLS: rpctest.Files(dir, "ra"), Role: rpc.RoleSA, Addresses: []string{address}, Now: time.Now, Logger: logger,
		})
		if err != nil {
			t.Fatal(err)
		}
		client := sa.NewClient(conn)
		return remote{client, sync.OnceValue(func() error {
			err := client.Close()
			stop()
			return errors.Join(err, store.Close())
		})}
	})
}
