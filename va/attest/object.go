package attest

import (
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/strictjson"
)

const (
	// maxObject is the largest attestation object, in octets. A request's body
	// has 64 KiB, of which base64url takes its part twice.
	maxObject = 40 << 10
	// maxCertificates bounds the certificates of a statement.
	maxCertificates = 8
)

// Object is a WebAuthn attestation object (WebAuthn §6.5.4) in as far as
// device-attest-01 makes use of it. authData is ignored:
// draft-ietf-acme-device-attest §5 gives it no meaning.
type Object struct {
	Format Format
	statement
}

// statement has the members of every format that is known.
type statement struct {
	Version      string   `cbor:"ver"`
	Algorithm    int64    `cbor:"alg"`
	Signature    []byte   `cbor:"sig"`
	Certificates [][]byte `cbor:"x5c"`
	CertInfo     []byte   `cbor:"certInfo"`
	PubArea      []byte   `cbor:"pubArea"`
}

// decMode decodes what strangers sent: small, flat, each key once, and of
// definite lengths, as CTAP2's canonical form has it.
var decMode = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:   4,
		MaxArrayElements:  16,
		MaxMapPairs:       16,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		UTF8:              cbor.UTF8RejectInvalid,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return mode
}()

// ParseResponse reads the payload of a response to device-attest-01
// (draft-ietf-acme-device-attest §5). The error is a *acme.Problem of type
// malformed: nothing was attested, well or badly.
func ParseResponse(payload []byte) (Object, error) {
	var response struct {
		AttObj *string `json:"attObj"`
	}
	if err := strictjson.Unmarshal(payload, &response); err != nil {
		return Object{}, unusable("the response can't be read: %s", err)
	}
	if response.AttObj == nil || *response.AttObj == "" {
		return Object{}, unusable("the response has no \"attObj\", the attestation object")
	}
	if base64.RawURLEncoding.DecodedLen(len(*response.AttObj)) > maxObject {
		return Object{}, unusable("\"attObj\" is larger than %d octets", maxObject)
	}
	object, err := base64.RawURLEncoding.Strict().DecodeString(*response.AttObj)
	if err != nil {
		return Object{}, unusable("\"attObj\" must be base64url without padding")
	}
	o, err := parseObject(object)
	if err != nil {
		return Object{}, unusable("\"attObj\" can't be used: %s", err)
	}
	return o, nil
}

func unusable(format string, args ...any) error {
	return acme.NewProblem(acme.Malformed, format+"; the challenge is as it was, respond to it again", args...)
}

func parseObject(data []byte) (Object, error) {
	var outer struct {
		Format    *string         `cbor:"fmt"`
		Statement cbor.RawMessage `cbor:"attStmt"`
	}
	if err := decMode.Unmarshal(data, &outer); err != nil {
		return Object{}, fmt.Errorf("it is not a CBOR map that a WebAuthn attestation object could be (%s)", quote(err.Error()))
	}
	switch {
	case outer.Format == nil || *outer.Format == "":
		return Object{}, errors.New("it has no \"fmt\"")
	case len(outer.Statement) == 0:
		return Object{}, errors.New("it has no \"attStmt\"")
	}
	o := Object{Format: Format(*outer.Format)}
	if _, known := formats[o.Format]; !known {
		// What is in the statement of an unknown format is not known either:
		// it is well-formed, and verifying it will say that nobody can.
		return o, nil
	}
	if err := decMode.Unmarshal(outer.Statement, &o.statement); err != nil {
		return Object{}, fmt.Errorf("\"attStmt\" is not what the format %q has there (%s)", o.Format, quote(err.Error()))
	}
	if len(o.Certificates) == 0 {
		return Object{}, errors.New("\"attStmt\" has no certificates in \"x5c\"")
	}
	if len(o.Certificates) > maxCertificates {
		return Object{}, fmt.Errorf("\"x5c\" has more than %d certificates", maxCertificates)
	}
	return o, nil
}
