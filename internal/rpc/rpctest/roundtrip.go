package rpctest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cairn-ca/cairn/internal/acme"
)

// Recorder is the heart of an implementation of a service's interface that
// notes what it was called with and returns what it was told.
type Recorder struct {
	method  string
	args    []any
	results []any
	err     error
}

// Call notes a call; its results are found with Result.
func (r *Recorder) Call(method string, args ...any) { r.method, r.args = method, args }

// Err is what the method is to return as its error.
func (r *Recorder) Err() error { return r.err }

// Result is what the method is to return as its i-th result; zero when it
// returns an error.
func Result[T any](r *Recorder, i int) T {
	var zero T
	if r.err != nil {
		return zero
	}
	return r.results[i].(T)
}

// RoundTrip calls every method of the interface S on client, but for those
// named in except, and checks that what the recorder behind it got and what
// came back are what was sent.
func RoundTrip[S any](t *testing.T, client S, recorder *Recorder, except ...string) {
	iface := reflect.TypeFor[S]()
	for _, filler := range []struct {
		name string
		Filler
	}{
		{name: "full"}, {name: "full, booleans false", Filler: Filler{False: true}}, {name: "sparse", Filler: Filler{Sparse: true, False: true}},
	} {
		for i := range iface.NumMethod() {
			method := iface.Method(i)
			if slices.Contains(except, method.Name) {
				continue
			}
			t.Run(method.Name+" "+filler.name, func(t *testing.T) {
				in := []reflect.Value{reflect.ValueOf(t.Context())}
				var args []any
				for j := 1; j < method.Type.NumIn(); j++ { // 0 is the context
					v := filler.Value(t, method.Type.In(j))
					in, args = append(in, v), append(args, v.Interface())
				}
				var results []any
				for j := range method.Type.NumOut() - 1 { // the last is the error
					results = append(results, filler.Value(t, method.Type.Out(j)).Interface())
				}
				*recorder = Recorder{results: results}
				out := reflect.ValueOf(client).MethodByName(method.Name).Call(in)
				if err, _ := out[len(out)-1].Interface().(error); err != nil {
					t.Fatal(err)
				}
				if recorder.method != method.Name {
					t.Errorf("method %q was called", recorder.method)
				}
				if diff := cmp.Diff(args, recorder.args, Equal()); diff != "" {
					t.Errorf("the arguments changed on their way (-sent +got):\n%s", diff)
				}
				var got []any
				for _, v := range out[:len(out)-1] {
					got = append(got, v.Interface())
				}
				if diff := cmp.Diff(results, got, Equal()); diff != "" {
					t.Errorf("the results changed on their way (-sent +got):\n%s", diff)
				}
			})
		}
	}
}

// Errors calls every method of the interface S, but for those named in except,
// while it fails with each of errs, and checks that the error comes back with
// all that it is, and zero values beside it. What an error may be, beside a
// problem or of the context, is one of kinds.
func Errors[S any](t *testing.T, client S, recorder *Recorder, errs, kinds []error, except ...string) {
	iface := reflect.TypeFor[S]()
	for i := range iface.NumMethod() {
		method := iface.Method(i)
		if slices.Contains(except, method.Name) {
			continue
		}
		for _, want := range errs {
			t.Run(method.Name+" "+want.Error(), func(t *testing.T) {
				in := []reflect.Value{reflect.ValueOf(t.Context())}
				var filler Filler
				for j := 1; j < method.Type.NumIn(); j++ {
					in = append(in, filler.Value(t, method.Type.In(j)))
				}
				*recorder = Recorder{err: want}
				out := reflect.ValueOf(client).MethodByName(method.Name).Call(in)
				got, _ := out[len(out)-1].Interface().(error)
				sameError(t, got, want, kinds)
				for _, v := range out[:len(out)-1] {
					if !v.IsZero() {
						t.Errorf("beside the error came %v", v)
					}
				}
			})
		}
	}
}

// sameError checks that an error that crossed a boundary says what it said and
// is, to errors.Is and errors.As, what it was.
func sameError(t *testing.T, got, want error, kinds []error) {
	t.Helper()
	if got == nil || got.Error() != want.Error() {
		t.Fatalf("got the error %v, want %v", got, want)
	}
	for _, kind := range append([]error{context.DeadlineExceeded, context.Canceled}, kinds...) {
		if errors.Is(got, kind) != errors.Is(want, kind) {
			t.Errorf("that %q is %q became %t", want, kind, errors.Is(got, kind))
		}
	}
	var gotProblem, wantProblem *acme.Problem
	errors.As(got, &gotProblem)
	errors.As(want, &wantProblem)
	if diff := cmp.Diff(wantProblem, gotProblem, Equal()); diff != "" {
		t.Errorf("the problem changed on its way (-sent +got):\n%s", diff)
	}
}

// CommonErrors are errors that any service may return.
func CommonErrors(t *testing.T) []error {
	t.Helper()
	var filler Filler
	whole := filler.Value(t, reflect.TypeFor[acme.Problem]()).Interface().(acme.Problem)
	return []error{
		&whole,
		acme.NewProblem(acme.Malformed, "short"),
		acme.NewProblem(acme.ServerInternal, "ours"),
		fmt.Errorf("deciding: %w", acme.NewProblem(acme.RateLimited, "wrapped")),
		context.DeadlineExceeded,
		context.Canceled,
		fmt.Errorf("looking up example.org: %w", context.DeadlineExceeded),
		errors.Join(acme.NewProblem(acme.DNS, "joined"), context.Canceled),
		errors.New("something else"),
	}
}
