package acme

import (
	"encoding/json"
	"net/http"
	"reflect"
	"testing"
	"time"
)

func TestProblemRoundTripsThroughJSON(t *testing.T) {
	t.Parallel()
	name, err := ParseIdentifier(IdentifierDNS, "*.example.com")
	if err != nil {
		t.Fatal(err)
	}
	id, err := ParseID("AZq8yO1_dGGAAAAAAAAAAA")
	if err != nil {
		t.Fatal(err)
	}
	whole := &Problem{
		Type: Compound, Detail: "bytes \x01 and \"quotes\"", Status: http.StatusForbidden, Identifier: &name,
		Subproblems: []Problem{{Type: CAA, Detail: "refused", Identifier: &name}, {Type: DNS, Identifier: &Identifier{}}},
		Instance:    "https://ca.example/terms", Algorithms: []string{"ES256", "EdDSA"},
		RetryAfter: 90*time.Second + time.Nanosecond, Account: id,
	}
	for _, want := range []*Problem{whole, {Type: Malformed}} {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got := new(Problem)
		if err := json.Unmarshal(text, got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s came back as %+v", text, got)
		}
	}
	// A field that is added without a thought for the store shows up here.
	v := reflect.ValueOf(*whole)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the test leaves Problem.%s out", v.Type().Field(i).Name)
		}
	}
}
