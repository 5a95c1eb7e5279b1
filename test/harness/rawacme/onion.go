package rawacme

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha3"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// OnionService is an onion service of version 3: its key, and the name that is
// made of it.
type OnionService struct {
	Key  ed25519.PrivateKey
	Name string
}

// NewOnionService makes an onion service; no Tor is needed to have a name.
func NewOnionService(t testing.TB) OnionService {
	t.Helper()
	key := NewEd25519Key(t)
	public := []byte(key.Public().(ed25519.PublicKey))
	sum := sha3.Sum256(slices.Concat([]byte(".onion checksum"), public, []byte{3}))
	address := slices.Concat(public, sum[:2], []byte{3})
	return OnionService{key, strings.ToLower(base32.StdEncoding.EncodeToString(address)) + ".onion"}
}

// The parts of a PKCS#10 request (RFC 2986 §4).
type (
	csrAttribute struct {
		Type   asn1.ObjectIdentifier
		Values [][]byte `asn1:"set"`
	}
	csrInfo struct {
		Version    int
		Subject    []asn1.RawValue
		PublicKey  csrKey
		Attributes []csrAttribute `asn1:"tag:0,set"`
	}
	csrKey struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	csrWhole struct {
		Info      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
)

// CSR is the proof that onion-csr-01 wants (RFC 9799 §3.2), for the nonce as it
// stands in the challenge.
func (o OnionService) CSR(t testing.TB, nonce string) []byte {
	t.Helper()
	octets, err := base64.StdEncoding.Strict().DecodeString(nonce)
	if err != nil {
		t.Fatalf("the nonce %q is not base64 with padding: %v", nonce, err)
	}
	own := make([]byte, 16)
	if _, err := rand.Read(own); err != nil {
		t.Fatal(err)
	}
	public := []byte(o.Key.Public().(ed25519.PublicKey))
	algorithm := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 3, 101, 112}}
	info, err := asn1.Marshal(csrInfo{
		Subject:   []asn1.RawValue{},
		PublicKey: csrKey{algorithm, asn1.BitString{Bytes: public, BitLength: 8 * len(public)}},
		Attributes: []csrAttribute{
			{asn1.ObjectIdentifier{2, 23, 140, 41}, [][]byte{octets}},
			{asn1.ObjectIdentifier{2, 23, 140, 42}, [][]byte{own}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	signature := ed25519.Sign(o.Key, info)
	der, err := asn1.Marshal(csrWhole{asn1.RawValue{FullBytes: info}, algorithm, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// CAA is a member of onionCAA (RFC 9799 §6.4); nil: the service has no
// records.
func (o OnionService) CAA(caa *string, expiry time.Time) map[string]any {
	text := ""
	if caa != nil {
		text = *caa
	}
	signed := fmt.Sprintf("onion-caa|%d|%s", expiry.Unix(), text)
	return map[string]any{"caa": caa, "expiry": expiry.Unix(), "signature": B64(ed25519.Sign(o.Key, []byte(signed)))}
}
