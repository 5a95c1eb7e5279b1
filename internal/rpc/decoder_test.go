package rpc

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc/acmepb"
)

func TestDecoderIsStrict(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(*Decoder){
		"no ID":              func(d *Decoder) { d.ID("f", nil) },
		"short ID":           func(d *Decoder) { d.ID("f", make([]byte, 15)) },
		"long ID":            func(d *Decoder) { d.OptionalID("f", make([]byte, 17)) },
		"no serial":          func(d *Decoder) { d.Serial("f", nil) },
		"serial 0":           func(d *Decoder) { d.OptionalSerial("f", []byte{0}) },
		"leading zero":       func(d *Decoder) { d.Serial("f", []byte{0, 5}) },
		"long serial":        func(d *Decoder) { d.Serial("f", bytes.Repeat([]byte{1}, 21)) },
		"short issuer":       func(d *Decoder) { d.IssuerID("f", make([]byte, 19)) },
		"no seed":            func(d *Decoder) { d.Bytes32("f", nil) },
		"no address":         func(d *Decoder) { d.OptionalAddr("f", "localhost") },
		"no key":             func(d *Decoder) { d.AccountKey("f", "") },
		"key with spaces":    func(d *Decoder) { d.AccountKey("f", strings.Replace(jwk, ":", ": ", 1)) },
		"private key":        func(d *Decoder) { d.AccountKey("f", strings.Replace(jwk, `"kty"`, `"d":"AA","kty"`, 1)) },
		"no identifier":      func(d *Decoder) { d.Identifier("f", nil) },
		"empty identifier":   func(d *Decoder) { d.Identifier("f", &acmepb.Identifier{}) },
		"upper case":         func(d *Decoder) { d.Identifier("f", &acmepb.Identifier{Type: "dns", Value: "Example.org"}) },
		"unknown identifier": func(d *Decoder) { d.Identifier("f", &acmepb.Identifier{Type: "email", Value: "a"}) },
		"year 10000":         func(d *Decoder) { d.Time("f", &timestamppb.Timestamp{Seconds: 253402300800}) },
		"nanoseconds":        func(d *Decoder) { d.Time("f", &timestamppb.Timestamp{Nanos: -1}) },
		"long duration":      func(d *Decoder) { d.Duration("f", &durationpb.Duration{Seconds: 315_576_000_000}) },
		"odd duration":       func(d *Decoder) { d.Duration("f", &durationpb.Duration{Seconds: 1, Nanos: -1}) },
		"no account":         func(d *Decoder) { d.Account("f", nil) },
		"no type of problem": func(d *Decoder) { d.OptionalProblem("f", &acmepb.Problem{}) },
		"deep problem":       func(d *Decoder) { d.Problem("f", nested(maxProblemDepth+1)) },
		"inner problem":      func(d *Decoder) { d.Problem("f", &acmepb.Problem{Type: "a", Subproblems: []*acmepb.Problem{{}}}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d Decoder
			read(&d)
			if d.err == nil || !strings.Contains(d.err.Error(), "field f") {
				t.Fatalf("got %v", d.err)
			}
			var p *acme.Problem
			if errors.As(d.err, &p) {
				t.Error("the error is a problem, which a client would see")
			}
		})
	}
}

const jwk = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`

func nested(depth int) *acmepb.Problem {
	p := &acmepb.Problem{Type: "t"}
	for range depth - 1 {
		p = &acmepb.Problem{Type: "t", Subproblems: []*acmepb.Problem{p}}
	}
	return p
}

func TestDecoderTakes(t *testing.T) {
	t.Parallel()
	var d Decoder
	d.OptionalID("f", nil)
	d.ID("f", make([]byte, 16))
	d.OptionalSerial("f", nil)
	d.OptionalAddr("f", "")
	d.Time("f", nil)
	d.Duration("f", durationpb.New(math.MaxInt64))
	d.Duration("f", durationpb.New(math.MinInt64))
	d.AccountKey("f", jwk)
	d.Problem("f", nested(maxProblemDepth))
	if d.err != nil {
		t.Error(d.err)
	}
}

// The path of a field is told, and values are not let out beside an error.
func TestRequestAndAnswer(t *testing.T) {
	t.Parallel()
	m := EncodeOrder(acme.Order{})
	m.Identifiers = []*acmepb.Identifier{{Type: "dns", Value: "a.example"}, {Type: "dns", Value: "_"}}
	read := func(d *Decoder, m *acmepb.Order) acme.Order { return d.Order("order", m) }
	for name, do := range map[string]func() (acme.Order, error){
		"request": func() (acme.Order, error) { return Request(m, read) },
		"answer":  func() (acme.Order, error) { return Answer(m, nil, read) },
	} {
		order, err := do()
		if err == nil || !strings.Contains(err.Error(), "field order.identifiers[1].value") {
			t.Errorf("%s: %v", name, err)
		}
		if order.Profile != "" || order.Identifiers != nil {
			t.Errorf("%s: beside the error came %+v", name, order)
		}
	}
	failed := errors.New("failed")
	if _, err := Answer(m, failed, read); err != failed {
		t.Errorf("got %v, want the call's error", err)
	}
}

// What is decoded is what a message of it says: no other bytes mean the same
// to this side than to the other.
func FuzzDecodeAuthorization(f *testing.F) {
	id, err := acme.ParseIdentifier(acme.IdentifierDNS, "example.org")
	if err != nil {
		f.Fatal(err)
	}
	for _, a := range []acme.Authorization{
		{Identifier: id},
		{Identifier: id, Status: acme.AuthorizationValid, Offered: []acme.ChallengeType{acme.DNS01}, Attempt: &acme.Attempt{
			Type: acme.DNS01, Error: acme.NewProblem(acme.DNS, "none").For(id),
			Evidence: acme.Evidence{Steps: []string{"one"}, CAA: &acme.CAAEvidence{Records: []string{"0 issue \";\""}}},
		}},
	} {
		b, err := proto.Marshal(EncodeAuthorization(a))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	read := func(d *Decoder, m *acmepb.Authorization) acme.Authorization { return d.Authorization("a", m) }
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &acmepb.Authorization{}
		if proto.Unmarshal(b, m) != nil {
			return
		}
		first, err := Request(m, read)
		if err != nil {
			return
		}
		second, err := Request(EncodeAuthorization(first), read)
		if err != nil {
			t.Fatalf("what was read can't be read again: %v", err)
		}
		if diff := cmp.Diff(first, second, cmp.Comparer(func(a, b acme.Identifier) bool { return a == b })); diff != "" {
			t.Errorf("it changed:\n%s", diff)
		}
	})
}
