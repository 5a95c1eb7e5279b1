package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc/acmepb"
)

// RemoteError is an error of a service behind gRPC, or of the way to it.
// errors.Is and errors.As find in it what they would have found in the
// service's own error: an *acme.Problem, the store's errors, the context's.
type RemoteError struct {
	Code   codes.Code
	Text   string // the text of the service's error
	Causes []error
	// Detail is what the service said of its error; nil: the error is not the
	// service's, the call failed on its way.
	Detail *acmepb.Error
}

func (e *RemoteError) Error() string {
	if e.Detail == nil {
		return fmt.Sprintf("rpc: %s: %s", e.Code, e.Text)
	}
	return e.Text
}

// Unwrap is the causes.
func (e *RemoteError) Unwrap() []error { return e.Causes }

// maxErrorText bounds the text of an error on the wire, in bytes.
const maxErrorText = 4096

// EncodeError makes what a gRPC method returns of an error. The service's own
// kinds of error are noted in detail, with the code that goes with them;
// codes.OK: it has none.
func EncodeError(err error, detail *acmepb.Error, code codes.Code) error {
	if err == nil {
		return nil
	}
	var problem *acme.Problem
	if errors.As(err, &problem) && problem != nil {
		detail.Problem = EncodeProblem(problem)
	}
	detail.DeadlineExceeded = errors.Is(err, context.DeadlineExceeded)
	detail.Canceled = errors.Is(err, context.Canceled)
	switch {
	case code != codes.OK:
	case problem != nil && problem.HTTPStatus() < http.StatusInternalServerError:
		code = codes.FailedPrecondition
	case detail.DeadlineExceeded:
		code = codes.DeadlineExceeded
	case detail.Canceled:
		code = codes.Canceled
	default:
		code = codes.Internal
	}
	text := err.Error()
	if len(text) > maxErrorText {
		text = text[:maxErrorText] + "..."
	}
	text = EncodeText(text)
	st, failed := status.New(code, text).WithDetails(detail)
	if failed != nil {
		return status.Error(codes.Internal, text)
	}
	return st.Err()
}

// DecodeError makes a *RemoteError of what a gRPC call returned. own finds the
// service's own kinds of error; nil: it has none. An error that was nothing
// but its cause is returned as that cause.
func DecodeError(err error, own func(*Decoder, *acmepb.Error) []error) error {
	if err == nil {
		return nil
	}
	st := status.Convert(err)
	e := &RemoteError{Code: st.Code(), Text: st.Message()}
	for _, detail := range st.Details() {
		if d, ok := detail.(*acmepb.Error); ok {
			e.Detail = d
			break
		}
	}
	if e.Detail == nil {
		switch e.Code {
		case codes.DeadlineExceeded:
			e.Causes = []error{context.DeadlineExceeded}
		case codes.Canceled:
			e.Causes = []error{context.Canceled}
		}
		return e
	}
	var d Decoder
	if problem := d.OptionalProblem("problem", e.Detail.Problem); problem != nil {
		e.Causes = append(e.Causes, problem)
	}
	if e.Detail.DeadlineExceeded {
		e.Causes = append(e.Causes, context.DeadlineExceeded)
	}
	if e.Detail.Canceled {
		e.Causes = append(e.Causes, context.Canceled)
	}
	if own != nil {
		e.Causes = append(e.Causes, own(&d, e.Detail)...)
	}
	if d.err != nil {
		// What can't be read is no cause: the caller sees an internal error.
		return &RemoteError{Code: codes.Internal, Text: fmt.Sprintf("%s (and the error's detail can't be read: %v)", e.Text, d.err), Detail: e.Detail}
	}
	if len(e.Causes) == 1 && e.Causes[0].Error() == e.Text {
		return e.Causes[0]
	}
	return e
}
