package rpc

import (
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Request reads a request with read; the error is what a gRPC method returns
// for one that it can't read.
func Request[M, T any](m *M, read func(*Decoder, *M) T) (T, error) {
	var d Decoder
	v := read(&d, m)
	if d.err != nil {
		var zero T
		return zero, status.Error(codes.InvalidArgument, EncodeText("reading the request: "+d.err.Error()))
	}
	return v, nil
}

// Answer reads an answer with read, unless the call failed with err.
func Answer[M, T any](m *M, err error, read func(*Decoder, *M) T) (T, error) {
	var zero T
	if err != nil {
		return zero, err
	}
	var d Decoder
	v := read(&d, m)
	if d.err != nil {
		return zero, fmt.Errorf("reading a service's answer: %w", d.err)
	}
	return v, nil
}

// Decoder reads the fields of a message strictly. It keeps the first thing
// that is wrong, with the path of the field, and reads on with zero values;
// Request and Answer let none of them out then.
type Decoder struct {
	path []string
	err  error
}

// Fail notes that a field is wrong, unless another was before.
func (d *Decoder) Fail(field string, format string, args ...any) {
	if d.err != nil {
		return
	}
	// The cause becomes text: a *Problem of a parser is about what a client
	// sent, and must not reach one for what a service sent.
	d.err = fmt.Errorf("field %s: %s", strings.Join(append(d.path, field), "."), fmt.Sprintf(format, args...))
}

// DecodeMessage reads a message that must be there with read.
func DecodeMessage[M, T any](d *Decoder, field string, m *M, read func(*Decoder, *M) T) T {
	var zero T
	if m == nil {
		d.Fail(field, "missing")
		return zero
	}
	if d.err != nil {
		return zero
	}
	d.path = append(d.path, field)
	v := read(d, m)
	d.path = d.path[:len(d.path)-1]
	if d.err != nil {
		return zero
	}
	return v
}

// DecodeOptional reads a message that may be missing: nil then.
func DecodeOptional[M, T any](d *Decoder, field string, m *M, read func(*Decoder, *M) T) *T {
	if m == nil {
		return nil
	}
	v := DecodeMessage(d, field, m, read)
	return &v
}

// DecodeList reads each item of a repeated field; nil when there is none.
func DecodeList[M, T any](d *Decoder, field string, items []M, read func(d *Decoder, field string, item M) T) []T {
	if len(items) == 0 || d.err != nil {
		return nil
	}
	list := make([]T, len(items))
	for i, item := range items {
		list[i] = read(d, fmt.Sprintf("%s[%d]", field, i), item)
	}
	if d.err != nil {
		return nil
	}
	return list
}

// EncodeList makes each item of a repeated field.
func EncodeList[T, M any](items []T, encode func(T) M) []M {
	if len(items) == 0 {
		return nil
	}
	list := make([]M, len(items))
	for i, item := range items {
		list[i] = encode(item)
	}
	return list
}
