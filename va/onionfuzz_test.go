package va

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
)

// Whatever is sent as a CSR, the parser ends, and what it accepts is signed
// octets with a key and a signature.
func FuzzOnionCSR(f *testing.F) {
	// One of pyca/cryptography, with a subject, the two nonces and an
	// extensionRequest.
	good, err := base64.RawURLEncoding.DecodeString("MIIBGTCBzAIBADASMRAwDgYDVQQDDAdleGFtcGxlMCowBQYDK2VwAyEA_jrRjMKHLBvkGQQXuBqKAaRgTRaiqU-2FPJPZmq_RoCggYYwEgYEZ4EMKTEKBAhsjr8xGpXiDDAUBgRngQwqMQwECgABAgMEBQYHCAkwWgYJKoZIhvcNAQkOMU0wSzBJBgNVHREEQjBAgj43eTVuZGRnY3E0d2J4emF6YXFsM3FndWthZ3NnYXRpd3VrdXU3bnF1Nmpod20ydjdpMmFteTJpZC5vbmlvbjAFBgMrZXADQQAKKKBd6_EFNA4vz-LZmpmPyyD1QkmmP_JLbKM8xBrB0wmZZ_vfFCiDgZSLZHISYsgUHuEuSjQoUecRUDnv3YME")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(bytes.ReplaceAll(good, []byte{0x67, 0x81, 0x0c, 0x2a}, []byte{0x67, 0x81, 0x0c, 0x29})) // a nonce twice
	f.Add([]byte{0x30, 0x00})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, der []byte) {
		csr, err := parseOnionCSR(der)
		if err != nil {
			if err.Error() == "" {
				t.Error("a refusal without a reason")
			}
			return
		}
		if len(csr.key) != 32 || len(csr.signed) == 0 || !strings.Contains(string(der), string(csr.signed)) {
			t.Errorf("accepted: %+v", csr)
		}
		if len(csr.caNonce) > len(der) || len(csr.applicantNonce) > len(der) {
			t.Errorf("longer than the CSR: %+v", csr)
		}
	})
}

// A record set is read whole or not at all, and what was read reads the same
// when it is written again.
func FuzzOnionCAA(f *testing.F) {
	f.Add("caa 128 issue \"test.acmeforonions.org; validationmethods=onion-csr-01\"\ncaa 0 iodef \"mailto:example@example.com\"")
	f.Add("caa 0 issue ca.example\n")
	f.Add(`caa 0 issue "\"\\\065"`)
	f.Add("caa 0 issue \"")
	f.Add(`caa 0 issue \`)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		records, err := parseOnionCAA(text)
		if err != nil {
			if records != nil {
				t.Errorf("%q: records and an error", text)
			}
			if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' }) || len(err.Error()) > 2000 {
				t.Errorf("%q: not a bounded printable line: %q", text, err)
			}
			return
		}
		lines := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return line == "" })
		if len(records) != len(lines) {
			t.Fatalf("%q: %d records of %d lines", text, len(records), len(lines))
		}
		for i, rr := range records {
			caa := rr.(*mdns.CAA)
			again, err := parseOnionCAA(writeOnionRecord(caa))
			if err != nil || *again[0].(*mdns.CAA) != *caa {
				t.Errorf("%q is read as %+v, which is read as %v (%v)", lines[i], caa, again, err)
			}
		}
	})
}

// writeOnionRecord writes every octet of the value as \DDD.
func writeOnionRecord(caa *mdns.CAA) string {
	var b strings.Builder
	fmt.Fprintf(&b, "caa %d %s \"", caa.Flag, caa.Tag)
	for i := range len(caa.Value) {
		fmt.Fprintf(&b, `\%03d`, caa.Value[i])
	}
	return b.String() + `"`
}
