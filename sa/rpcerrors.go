package sa

import (
	"errors"

	"google.golang.org/grpc/codes"

	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/acmepb"
)

// EncodeError makes what a gRPC method returns of an error. Services that are
// built on the store use it too, as the store's errors pass through them.
func EncodeError(err error) error {
	if err == nil {
		return nil
	}
	detail, code := &acmepb.Error{}, codes.OK
	var keyInUse KeyInUseError
	if errors.As(err, &keyInUse) {
		detail.KeyInUse = &acmepb.KeyInUse{Account: rpc.EncodeID(keyInUse.Account)}
		code = codes.AlreadyExists
	}
	var replaced ReplacedError
	if errors.As(err, &replaced) {
		detail.Replaced = &acmepb.Replaced{Order: rpc.EncodeID(replaced.Order)}
		code = codes.AlreadyExists
	}
	if errors.Is(err, ErrConflict) {
		detail.Conflict, code = true, codes.Aborted
	}
	if errors.Is(err, ErrNotFound) {
		detail.NotFound, code = true, codes.NotFound
	}
	return rpc.EncodeError(err, detail, code)
}

// DecodeError makes an error of what a gRPC call returned: errors.Is and
// errors.As find in it what they find in the one that EncodeError was given.
func DecodeError(err error) error { return rpc.DecodeError(err, decodeErrors) }

func decodeErrors(d *rpc.Decoder, detail *acmepb.Error) []error {
	var found []error
	if detail.NotFound {
		found = append(found, ErrNotFound)
	}
	if detail.Conflict {
		found = append(found, ErrConflict)
	}
	if m := detail.KeyInUse; m != nil {
		found = append(found, KeyInUseError{d.ID("key_in_use.account", m.Account)})
	}
	if m := detail.Replaced; m != nil {
		found = append(found, ReplacedError{d.ID("replaced.order", m.Order)})
	}
	return found
}
