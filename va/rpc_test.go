package va

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/rpctest"
	"github.com/cairn-ca/cairn/internal/rpc/vapb"
)

type recorded struct{ *rpctest.Recorder }

func (r recorded) Validate(_ context.Context, req Request) (Result, error) {
	r.Call("Validate", req)
	return rpctest.Result[Result](r.Recorder, 0), r.Err()
}

func (r recorded) CheckCAA(_ context.Context, req CAARequest) (CAAResult, error) {
	r.Call("CheckCAA", req)
	return rpctest.Result[CAAResult](r.Recorder, 0), r.Err()
}

func TestRPC(t *testing.T) {
	t.Parallel()
	recorder := &rpctest.Recorder{}
	conn := rpctest.Connect(t, rpc.RoleVA, rpc.RoleRA, rpc.Grants(rpc.RoleVA, nil), func(s grpc.ServiceRegistrar) {
		RegisterServer(s, recorded{recorder})
	})
	rpctest.RoundTrip(t, NewClient(conn), recorder)
	rpctest.Errors(t, NewClient(conn), recorder, rpctest.CommonErrors(t), nil)
}

// What a look-up saw may be any octets, and must not make the answer
// unsendable.
func TestRPCCarriesOddText(t *testing.T) {
	t.Parallel()
	odd := stub{Result{
		Problem:  acme.NewProblem(acme.Unauthorized, "the answer was \xff\xfe"),
		Evidence: acme.Evidence{Steps: []string{"TXT \xc3\x28"}, CAA: &acme.CAAEvidence{Records: []string{"\x80"}}},
	}}
	conn := rpctest.Connect(t, rpc.RoleVA, rpc.RoleRA, rpc.Grants(rpc.RoleVA, nil), func(s grpc.ServiceRegistrar) { RegisterServer(s, odd) })
	result, err := NewClient(conn).Validate(t.Context(), Request{Identifier: rpcName(t)})
	if err != nil {
		t.Fatal(err)
	}
	if result.Problem == nil || !strings.HasPrefix(result.Problem.Detail, "the answer was ") || len(result.Evidence.Steps) != 1 {
		t.Errorf("got %+v", result)
	}
}

type stub struct{ result Result }

func (s stub) Validate(context.Context, Request) (Result, error) { return s.result, nil }

func (stub) CheckCAA(context.Context, CAARequest) (CAAResult, error) { return CAAResult{}, nil }

// An answer that says nothing proves nothing.
func TestRPCEmptyAnswerIsNoProof(t *testing.T) {
	t.Parallel()
	conn := rpctest.Connect(t, rpc.RoleVA, rpc.RoleRA, rpc.Grants(rpc.RoleVA, nil), func(s grpc.ServiceRegistrar) {
		vapb.RegisterValidationAuthorityServer(s, silent{})
	})
	client := NewClient(conn)
	if result, err := client.Validate(t.Context(), Request{Identifier: rpcName(t)}); err == nil {
		t.Errorf("Validate answers %+v", result)
	}
	if result, err := client.CheckCAA(t.Context(), CAARequest{Identifier: rpcName(t)}); err == nil {
		t.Errorf("CheckCAA answers %+v", result)
	}
}

// silent answers without saying that control is proven.
type silent struct {
	vapb.UnimplementedValidationAuthorityServer
}

func (silent) Validate(context.Context, *vapb.ValidateRequest) (*vapb.ValidateResponse, error) {
	return &vapb.ValidateResponse{Evidence: rpc.EncodeEvidence(acme.Evidence{})}, nil
}

func (silent) CheckCAA(context.Context, *vapb.CheckCAARequest) (*vapb.CheckCAAResponse, error) {
	return &vapb.CheckCAAResponse{Evidence: rpc.EncodeCAAEvidence(acme.CAAEvidence{})}, nil
}

func rpcName(t *testing.T) acme.Identifier {
	t.Helper()
	id, err := acme.ParseIdentifier(acme.IdentifierDNS, "example.org")
	if err != nil {
		t.Fatal(err)
	}
	return id
}
