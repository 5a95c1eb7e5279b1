package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc/acmepb"
)

func TestErrorCodes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want codes.Code
	}{
		{acme.NewProblem(acme.Malformed, "x"), codes.FailedPrecondition},
		{acme.NewProblem(acme.ServerInternal, "x"), codes.Internal},
		{fmt.Errorf("a: %w", context.DeadlineExceeded), codes.DeadlineExceeded},
		{context.Canceled, codes.Canceled},
		{errors.New("x"), codes.Internal},
	} {
		if got := status.Code(EncodeError(test.err, &acmepb.Error{}, codes.OK)); got != test.want {
			t.Errorf("%v: %s, want %s", test.err, got, test.want)
		}
	}
	if EncodeError(nil, &acmepb.Error{}, codes.OK) != nil || DecodeError(nil, nil) != nil {
		t.Error("no error became one")
	}
}

// What gRPC itself says is told apart from what the service says.
func TestErrorsOfTheWay(t *testing.T) {
	t.Parallel()
	for code, want := range map[codes.Code]error{
		codes.DeadlineExceeded: context.DeadlineExceeded, codes.Canceled: context.Canceled, codes.Unavailable: nil, codes.NotFound: nil,
	} {
		err := DecodeError(status.Error(code, "said gRPC"), nil)
		var remote *RemoteError
		if !errors.As(err, &remote) || remote.Code != code || remote.Detail != nil || !strings.Contains(err.Error(), code.String()) {
			t.Errorf("%s became %#v", code, err)
		}
		for _, is := range []error{context.DeadlineExceeded, context.Canceled} {
			if errors.Is(err, is) != (is == want) {
				t.Errorf("%s: is %v %t", code, is, errors.Is(err, is))
			}
		}
	}
}

func TestErrorTextIsBoundedAndSendable(t *testing.T) {
	t.Parallel()
	err := EncodeError(errors.New("\xff"+strings.Repeat("é", maxErrorText)), &acmepb.Error{}, codes.OK)
	st := status.Convert(err)
	if len(st.Message()) > maxErrorText+20 || len(st.Details()) != 1 || strings.ToValidUTF8(st.Message(), "") != st.Message() {
		t.Errorf("%d octets, %d details", len(st.Message()), len(st.Details()))
	}
}

// A problem that can't be read is an internal error, not half a problem.
func TestUnreadableDetail(t *testing.T) {
	t.Parallel()
	st, err := status.New(codes.FailedPrecondition, "malformed: x").WithDetails(&acmepb.Error{Problem: &acmepb.Problem{Type: "malformed", Account: []byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	got := DecodeError(st.Err(), nil)
	var p *acme.Problem
	if errors.As(got, &p) || !strings.Contains(got.Error(), "account") {
		t.Errorf("got %v", got)
	}
}
