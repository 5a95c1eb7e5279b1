package ra

import (
	"context"
	"testing"

	"google.golang.org/grpc"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/rpctest"
	"github.com/cairn-ca/cairn/sa"
)

type recorded struct{ *rpctest.Recorder }

func (r recorded) account() (acme.Account, error) {
	return rpctest.Result[acme.Account](r.Recorder, 0), r.Err()
}

func (r recorded) order() (acme.Order, error) {
	return rpctest.Result[acme.Order](r.Recorder, 0), r.Err()
}

func (r recorded) authorization() (acme.Authorization, error) {
	return rpctest.Result[acme.Authorization](r.Recorder, 0), r.Err()
}

func (r recorded) NewAccount(_ context.Context, req NewAccount) (acme.Account, bool, error) {
	r.Call("NewAccount", req)
	return rpctest.Result[acme.Account](r.Recorder, 0), rpctest.Result[bool](r.Recorder, 1), r.Err()
}

func (r recorded) UpdateAccount(_ context.Context, req UpdateAccount) (acme.Account, error) {
	r.Call("UpdateAccount", req)
	return r.account()
}

func (r recorded) DeactivateAccount(_ context.Context, account acme.ID) (acme.Account, error) {
	r.Call("DeactivateAccount", account)
	return r.account()
}

func (r recorded) ChangeKey(_ context.Context, req ChangeKey) (acme.Account, error) {
	r.Call("ChangeKey", req)
	return r.account()
}

func (r recorded) NewOrder(_ context.Context, req NewOrder) (acme.Order, error) {
	r.Call("NewOrder", req)
	return r.order()
}

func (r recorded) CancelOrder(_ context.Context, account, order acme.ID) (acme.Order, error) {
	r.Call("CancelOrder", account, order)
	return r.order()
}

func (r recorded) FinalizeOrder(_ context.Context, req FinalizeOrder) (acme.Order, error) {
	r.Call("FinalizeOrder", req)
	return r.order()
}

func (r recorded) NewAuthorization(_ context.Context, req NewAuthorization) (acme.Authorization, bool, error) {
	r.Call("NewAuthorization", req)
	return rpctest.Result[acme.Authorization](r.Recorder, 0), rpctest.Result[bool](r.Recorder, 1), r.Err()
}

func (r recorded) RespondToChallenge(_ context.Context, req RespondToChallenge) (acme.Authorization, error) {
	r.Call("RespondToChallenge", req)
	return r.authorization()
}

func (r recorded) DeactivateAuthorization(_ context.Context, account, authorization acme.ID) (acme.Authorization, error) {
	r.Call("DeactivateAuthorization", account, authorization)
	return r.authorization()
}

func (r recorded) RevokeCertificate(_ context.Context, req RevokeCertificate) error {
	r.Call("RevokeCertificate", req)
	return r.Err()
}

func TestRPC(t *testing.T) {
	t.Parallel()
	recorder := &rpctest.Recorder{}
	conn := rpctest.Connect(t, rpc.RoleRA, rpc.RoleWFE, rpc.Grants(rpc.RoleRA, nil), func(s grpc.ServiceRegistrar) {
		RegisterServer(s, recorded{recorder})
	})
	rpctest.RoundTrip(t, NewClient(conn), recorder)
	kinds := []error{sa.ErrNotFound, sa.ErrConflict}
	rpctest.Errors(t, NewClient(conn), recorder, append(rpctest.CommonErrors(t), kinds...), kinds)
}
