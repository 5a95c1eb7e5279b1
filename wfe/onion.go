package wfe

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/strictjson"
)

const (
	// maxOnionCSR bounds the CSR of an onion-csr-01 response, in octets of DER:
	// an ordinary one has 200.
	maxOnionCSR = 4 << 10
	// maxOnionCAA bounds the record set of one onion service, in octets.
	maxOnionCAA = 16 << 10
	// maxTime is the last second of the year 9999, Unix time.
	maxTime = 253402300799
)

// parseOnionResponse reads the CSR, DER, of a response to onion-csr-01
// (RFC 9799 §3.2). What is in it is for the validation authority to judge.
func parseOnionResponse(payload []byte) ([]byte, error) {
	var response struct {
		CSR string `json:"csr"`
	}
	if err := strictjson.Unmarshal(payload, &response); err != nil {
		return nil, malformed("the response can't be read: %s", jsonError(err))
	}
	csr, err := decodeBase64(response.CSR)
	switch {
	case err != nil || len(csr) == 0:
		return nil, malformed("\"csr\" must be the base64url of a PKCS#10 request in DER, without padding, that is signed by the key of the onion service (RFC 9799 §3.2)")
	case len(csr) > maxOnionCSR:
		return nil, malformed("\"csr\" has more than %d octets; it needs nothing but the key and the two nonces (RFC 9799 §3.2)", maxOnionCSR)
	}
	return csr, nil
}

// onionCAADocument is one member of the onionCAA object (RFC 9799 §6.4).
type onionCAADocument struct {
	CAA       json.RawMessage `json:"caa"` // a string or null, but not absent
	Expiry    *int64          `json:"expiry"`
	Signature string          `json:"signature"`
}

// parseOnionCAA reads the CAA record sets of a finalize request, sorted by
// service. The signatures are not verified.
func parseOnionCAA(docs map[string]onionCAADocument) ([]acme.OnionCAA, error) {
	if len(docs) > maxIdentifiers {
		return nil, malformed("\"onionCAA\" has at most %d members", maxIdentifiers)
	}
	var sets []acme.OnionCAA
	for _, name := range slices.Sorted(maps.Keys(docs)) {
		id, err := acme.ParseIdentifier(acme.IdentifierDNS, name)
		var p *acme.Problem
		switch {
		case errors.As(err, &p):
			return nil, malformed("\"onionCAA\": %s", p.Detail)
		case err != nil:
			return nil, err
		case !id.IsOnion():
			return nil, malformed("\"onionCAA\": %q is no onion name; CAA records of other names are in the DNS", id.Value())
		}
		set, err := docs[name].parse(id.OnionService())
		if err != nil {
			return nil, err
		}
		// The RFC leaves open whether the names are those of the services or
		// of the order's identifiers. All names of a service have one set.
		i := slices.IndexFunc(sets, func(s acme.OnionCAA) bool { return s.Service == set.Service })
		switch {
		case i < 0:
			sets = append(sets, set)
		case !sameRecords(sets[i], set):
			return nil, malformed("\"onionCAA\" has two different record sets for names of %s, which share one (RFC 9799 §6.1)", set.Service.Value())
		}
	}
	slices.SortFunc(sets, func(a, b acme.OnionCAA) int { return strings.Compare(a.Service.Value(), b.Service.Value()) })
	return sets, nil
}

func sameRecords(a, b acme.OnionCAA) bool {
	if a.CAA == nil || b.CAA == nil {
		return a.CAA == b.CAA
	}
	return *a.CAA == *b.CAA
}

func (doc onionCAADocument) parse(service acme.Identifier) (acme.OnionCAA, error) {
	bad := func(format string, args ...any) (acme.OnionCAA, error) {
		return acme.OnionCAA{}, malformed("\"onionCAA\" for %s: "+format, append([]any{service.Value()}, args...)...)
	}
	set := acme.OnionCAA{Service: service}
	switch {
	case len(doc.CAA) == 0:
		return bad("\"caa\" is missing; it is null for a service without CAA records")
	case !bytes.Equal(doc.CAA, []byte("null")):
		if err := strictjson.Unmarshal(doc.CAA, &set.CAA); err != nil {
			return bad("\"caa\" must be a string or null")
		}
		if len(*set.CAA) > maxOnionCAA {
			return bad("\"caa\" has more than %d octets", maxOnionCAA)
		}
	}
	if doc.Expiry == nil || *doc.Expiry < 0 || *doc.Expiry > maxTime {
		return bad("\"expiry\" must be a Unix timestamp, in seconds")
	}
	set.Expiry = time.Unix(*doc.Expiry, 0).UTC()
	// The RFC's own example has padding, which base64url in ACME otherwise has
	// not: accept it here.
	signature, err := decodeBase64(strings.TrimSuffix(doc.Signature, "=="))
	if err != nil || len(signature) != ed25519.SignatureSize {
		return bad("\"signature\" must be the base64url of an Ed25519 signature, of %d octets", ed25519.SignatureSize)
	}
	set.Signature = [ed25519.SignatureSize]byte(signature)
	return set, nil
}
