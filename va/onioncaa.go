package va

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/acme"
)

const (
	// maxOnionCAAAhead is how far ahead a record set may expire: RFC 9799 §6.4
	// says 8 hours, and clocks differ.
	maxOnionCAAAhead = CAALifetime + time.Hour
	// maxOnionRecords bounds a record set.
	maxOnionRecords = 100
)

// inBand decides on the name of an onion service by the record set that came
// with the request (RFC 9799 §6.4). There is no tree to climb: all names of
// the service share the set (§6.1).
func (d *CAADecision) inBand(req CAARequest, identities []string) {
	service, set := req.Identifier.OnionService(), req.OnionCAA
	required := func(format string, args ...any) {
		d.Problem = acme.NewProblem(acme.OnionCAARequired, format, args...)
		d.step("%s", d.Problem.Detail)
	}
	switch {
	case set == nil || set.Service != service:
		required("the CAA records of onion services are taken from finalize requests only: add \"onionCAA\" with a member %q, its \"caa\" null if the service has none (RFC 9799 §6.4)", service.Value())
		return
	case !set.Expiry.After(d.CheckedAt):
		required("the CAA record set of %s expired at %s; sign a new one", service.Value(), set.Expiry.UTC().Format(time.RFC3339))
		return
	case set.Expiry.Sub(d.CheckedAt) > maxOnionCAAAhead:
		required("the CAA record set of %s expires at %s, more than 8 hours ahead; sign one with an earlier expiry (RFC 9799 §6.4)", service.Value(), set.Expiry.UTC().Format(time.RFC3339))
		return
	case !set.Verify():
		d.Problem = acme.NewProblem(acme.Unauthorized, "the signature over the CAA record set of %s does not verify with the service's key; it is over \"onion-caa|\", the expiry in decimal, \"|\" and the value of \"caa\" (RFC 9799 §6.4)", service.Value())
		d.step("%s", d.Problem.Detail)
		return
	}
	d.step("a CAA record set signed by the key of %s, valid until %s", service.Value(), set.Expiry.UTC().Format(time.RFC3339))
	var records []mdns.RR
	if set.CAA != nil {
		var err error
		if records, err = parseOnionCAA(*set.CAA); err != nil {
			d.forbid("the CAA record set of %s can't be understood: %s", service.Value(), err)
			return
		}
	}
	if len(records) == 0 {
		d.step("%s has no CAA records: every CA may issue", service.Value())
		return
	}
	d.FoundAt = service.Value()
	d.judge(records, req, identities)
}

// parseOnionCAA reads CAA records in the form that they have in the descriptor
// of an onion service (RFC 9799 §6):
//
//	"caa" SP flags SP tag SP value NL
//
// with flags, tag and value as in RFC 8659 §4.1.1. A line that strays from it
// is an error: it might be one that forbids. A ";" outside of quotes begins a
// comment in zone files, but no descriptor has comments: here it is part of
// the value, so that no parameter behind it gets lost.
func parseOnionCAA(text string) ([]mdns.RR, error) {
	var records []mdns.RR
	for i, line := range strings.Split(text, "\n") {
		if line == "" {
			continue
		}
		record, reason := parseOnionRecord(line)
		switch {
		case reason != "":
			return nil, fmt.Errorf("line %d, %s: %s", i+1, quote(line), reason)
		case len(records) == maxOnionRecords:
			return nil, fmt.Errorf("it has more than %d records", maxOnionRecords)
		}
		records = append(records, record)
	}
	return records, nil
}

func parseOnionRecord(line string) (record *mdns.CAA, reason string) {
	const form = "write a record as: caa 0 issue \"ca.example\""
	parts := strings.SplitN(line, " ", 4)
	if len(parts) != 4 || parts[0] != "caa" {
		return nil, form
	}
	flags, err := strconv.ParseUint(parts[1], 10, 8)
	if err != nil || parts[1] != strconv.FormatUint(flags, 10) {
		return nil, "the flags are a number from 0 to 255"
	}
	tag := parts[2]
	if rest := strings.TrimFunc(tag, func(r rune) bool { return r < 0x80 && isAlphanumeric(byte(r)) }); tag == "" || len(tag) > 255 || rest != "" {
		return nil, "the tag has letters and digits only"
	}
	value, ok := onionValue(parts[3])
	if !ok {
		return nil, "the value is in double quotes; in them, a quote and a backslash have a backslash before them"
	}
	return &mdns.CAA{Flag: uint8(flags), Tag: tag, Value: value}, ""
}

// onionValue reads a <character-string> (RFC 1035 §5.1): printable ASCII, in
// quotes or without spaces, with \X for the character X and \DDD for an octet.
func onionValue(s string) (string, bool) {
	quoted := len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"'
	if quoted {
		s = s[1 : len(s)-1]
	} else if s == "" {
		return "", false
	}
	var value []byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c < ' ' || c > '~' || c == '"', c == ' ' && !quoted:
			return "", false
		case c != '\\':
			value = append(value, c)
		case i+1 == len(s):
			return "", false // the closing quote, or nothing, was escaped
		case s[i+1] >= '0' && s[i+1] <= '9':
			if i+3 >= len(s) {
				return "", false
			}
			octet, err := strconv.ParseUint(s[i+1:i+4], 10, 8)
			if err != nil {
				return "", false
			}
			value = append(value, byte(octet))
			i += 3
		default:
			i++
			if s[i] < ' ' || s[i] > '~' {
				return "", false
			}
			value = append(value, s[i])
		}
	}
	return string(value), true
}
