package ca

import (
	"context"
	"testing"

	"google.golang.org/grpc"

	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/rpctest"
	"github.com/cairn-ca/cairn/sa"
)

type recorded struct{ *rpctest.Recorder }

func (r recorded) Issue(_ context.Context, req Request) (Issued, error) {
	r.Call("Issue", req)
	return rpctest.Result[Issued](r.Recorder, 0), r.Err()
}

func (r recorded) ServiceCertificate(_ context.Context, csr []byte) ([][]byte, error) {
	r.Call("ServiceCertificate", csr)
	return rpctest.Result[[][]byte](r.Recorder, 0), r.Err()
}

func TestRPC(t *testing.T) {
	t.Parallel()
	recorder := &rpctest.Recorder{}
	grants := []rpc.Grant{{Service: rpc.RoleCA.Service(), Clients: []string{rpc.RoleRA.Name()}}}
	conn := rpctest.Connect(t, rpc.RoleCA, rpc.RoleRA, grants, func(s grpc.ServiceRegistrar) {
		RegisterServer(s, recorded{recorder})
	})
	rpctest.RoundTrip(t, NewClient(conn), recorder)
	kinds := []error{sa.ErrNotFound, sa.ErrConflict}
	rpctest.Errors(t, NewClient(conn), recorder, append(rpctest.CommonErrors(t), kinds...), kinds)
}
