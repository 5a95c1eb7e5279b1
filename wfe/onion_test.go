package wfe

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/strictjson"
)

// rfcOnionCAA is the example of RFC 9799 §6.4.2, padding and all.
const rfcOnionCAA = `{"5anebu2glyc235wbbop3m2ukzlaptpkq333vdtdvcjpigyb7x2i2m2qd.onion": {
	"caa": "caa 128 issue \"test.acmeforonions.org; validationmethods=onion-csr-01\"\ncaa 0 iodef \"mailto:example@example.com\"",
	"expiry": 1697210719,
	"signature": "u_iP6JZ4JZBrzQUKH6lSrWejjRfeQmkTuehc0_FaaTNPAV0RVxpUz9r44DRdy6kgy0ofnx18KIhMrP7N1wpxAA=="}}`

func readOnionCAA(document string) ([]acme.OnionCAA, error) {
	var docs map[string]onionCAADocument
	if err := strictjson.Unmarshal([]byte(document), &docs); err != nil {
		return nil, malformed("%s", err)
	}
	return parseOnionCAA(docs)
}

func TestParseOnionCAA(t *testing.T) {
	t.Parallel()
	for name, document := range map[string]string{
		"the RFC's": rfcOnionCAA, "without padding": strings.Replace(rfcOnionCAA, "==", "", 1),
		"by a name below": strings.Replace(rfcOnionCAA, `"5a`, `"www.5a`, 1), "by a wildcard": strings.Replace(rfcOnionCAA, `"5a`, `"*.5a`, 1),
		"in upper case": strings.Replace(rfcOnionCAA, "5anebu", "5ANEBU", 1),
	} {
		sets, err := readOnionCAA(document)
		if err != nil || len(sets) != 1 || !sets[0].Verify() {
			t.Errorf("%s: %+v, %v", name, sets, err)
		}
	}
	if sets, err := readOnionCAA("{}"); err != nil || sets != nil {
		t.Errorf("none: %+v, %v", sets, err)
	}
}

// The names of one service may each have their own member, if these agree.
func TestOnionCAAOfOneService(t *testing.T) {
	t.Parallel()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	service := acme.OnionIdentifier(key.Public().(ed25519.PublicKey)).Value()
	member := func(name, caa string) string {
		return fmt.Sprintf(`%q: {"caa": %s, "expiry": 1, "signature": %q}`, name, caa, base64.RawURLEncoding.EncodeToString(make([]byte, 64)))
	}
	for _, test := range []struct {
		a, b string
		ok   bool
	}{
		{`null`, `null`, true}, {`"x"`, `"x"`, true}, {`null`, `""`, false}, {`""`, `null`, false}, {`"x"`, `"y"`, false},
	} {
		sets, err := readOnionCAA("{" + member(service, test.a) + "," + member("www."+service, test.b) + "}")
		if (err == nil) != test.ok || err == nil && len(sets) != 1 {
			t.Errorf("%s and %s: %+v, %v", test.a, test.b, sets, err)
		}
	}
}

// Whatever is sent, it is refused with a problem or becomes record sets that
// can stand for what they are.
func FuzzOnionCAA(f *testing.F) {
	f.Add(rfcOnionCAA)
	f.Add(strings.Replace(rfcOnionCAA, "1697210719", "9223372036854775808", 1))
	f.Add(strings.Replace(rfcOnionCAA, "1697210719", "1e3", 1))
	f.Add(strings.Replace(rfcOnionCAA, `"expiry"`, `"caa": null, "expiry"`, 1))
	f.Add(`{"x.onion":null}`)
	f.Add(`null`)
	f.Add(`{"*.example.com":{"caa":[]}}`)
	f.Fuzz(func(t *testing.T, document string) {
		sets, err := readOnionCAA(document)
		var p *acme.Problem
		if err != nil && (!errors.As(err, &p) || p.Type != acme.Malformed || p.Detail == "") {
			t.Errorf("refused with %v", err)
		}
		for _, set := range sets {
			if set.Service.OnionService() != set.Service || set.Expiry.Unix() < 0 || set.Expiry.Year() > 9999 || set.CAA != nil && len(*set.CAA) > maxOnionCAA {
				t.Errorf("accepted: %+v", set)
			}
		}
	})
}

func TestParseOnionResponse(t *testing.T) {
	t.Parallel()
	text := func(n int) string { return base64.RawURLEncoding.EncodeToString(make([]byte, n)) }
	for payload, want := range map[string]int{
		`{"csr":"` + text(200) + `"}`: 200, `{"csr":"` + text(maxOnionCSR) + `","other":1}`: maxOnionCSR,
		`{"csr":"` + text(maxOnionCSR+1) + `"}`: 0, `{}`: 0, `{"csr":""}`: 0, `{"csr":"AA=="}`: 0, `{"csr":"A"}`: 0, `{"csr":"AA","csr":"AA"}`: 0, `[]`: 0, `{"CSR":"AA"}`: 0,
	} {
		csr, err := parseOnionResponse([]byte(payload))
		var p *acme.Problem
		if want > 0 && (err != nil || len(csr) != want) || want == 0 && (!errors.As(err, &p) || p.Type != acme.Malformed) {
			t.Errorf("%.40s: %d octets, %v", payload, len(csr), err)
		}
	}
}
