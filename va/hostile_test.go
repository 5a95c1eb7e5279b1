package va

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/internal/acme"
)

const testKeyAuthorization = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"

func TestNotPublic(t *testing.T) {
	t.Parallel()
	for address, public := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "172.15.255.255": true, "172.32.0.0": true, "100.63.255.255": true, "100.128.0.0": true,
		"192.0.1.0": true, "223.255.255.255": true, "2606:4700::1": true, "2a00::1": true, "2001:200::1": true,
		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.0": false, "10.255.255.255": false, "100.64.0.0": false, "127.0.0.1": false, "127.255.0.1": false,
		"169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false, "192.0.0.8": false, "192.0.2.1": false, "192.88.99.1": false,
		"192.168.1.1": false, "198.18.0.1": false, "198.19.255.255": false, "198.51.100.1": false, "203.0.113.1": false,
		"224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::8.8.8.8": false, "::ffff:10.0.0.1": false, "::ffff:127.0.0.1": false, "64:ff9b::10.0.0.1": false, "64:ff9b::8.8.8.8": false,
		"64:ff9b:1::1": false, "100::1": false, "2001::1": false, "2001:db8::1": false, "2002:0a00:0001::1": false, "3fff::1": false,
		"4000::1": false, "5f00::1": false, "fc00::1": false, "fd00::1": false, "fe80::1": false, "fe80::1%eth0": false, "2606:4700::1%eth0": false,
		"fec0::1": false, "ff02::1": false, "::ffff:8.8.8.8": true,
	} {
		if reason := notPublic(netip.MustParseAddr(address)); (reason == "") != public {
			t.Errorf("%s: %q", address, reason)
		}
	}
	if notPublic(netip.Addr{}) == "" {
		t.Error("no address is a public address")
	}
}

// FuzzHTTPAnswer compares and quotes bodies that nobody should send.
func FuzzHTTPAnswer(f *testing.F) {
	f.Add([]byte(testKeyAuthorization))
	f.Add([]byte(testKeyAuthorization + "\r\n"))
	f.Add([]byte(testKeyAuthorization + strings.Repeat(" ", 2000) + "x"))
	f.Add([]byte(" " + testKeyAuthorization))
	f.Add([]byte("<html>\x00\xff\u2028\x1b[31m"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		same, seen, err := matchBody(bytes.NewReader(body), testKeyAuthorization)
		want := string(bytes.TrimRight(body, " \t\r\n\v\f")) == testKeyAuthorization && len(body) <= maxBody
		if same != want || err != nil && !errors.Is(err, errTooLong) {
			t.Errorf("%q: %v, %v", body, same, err)
		}
		if !bytes.HasPrefix(body, seen) || len(seen) > len(testKeyAuthorization)+maxQuote+1 {
			t.Errorf("%q: seen %q", body, seen)
		}
		// The size of the pieces does not matter, nor how the end comes.
		for _, r := range []io.Reader{iotest.OneByteReader(bytes.NewReader(body)), iotest.DataErrReader(bytes.NewReader(body))} {
			if again, _, _ := matchBody(r, testKeyAuthorization); again != same {
				t.Errorf("%q: %v in pieces", body, again)
			}
		}
		// An answer that breaks off is no answer.
		broken := io.MultiReader(bytes.NewReader(body), iotest.ErrReader(io.ErrUnexpectedEOF))
		if same, _, _ := matchBody(broken, testKeyAuthorization); same {
			t.Errorf("%q: believed although it broke off", body)
		}
		quoted := quote(body)
		if len(quoted) > 4*maxQuote+10 || strings.ContainsFunc(quoted, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("not a bounded printable quotation: %q", quoted)
		}
	})
}

// FuzzALPNCertificate checks certificates that nobody should show.
func FuzzALPNCertificate(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	digest := sha256.Sum256([]byte(testKeyAuthorization))
	proof := append([]byte{4, 32}, digest[:]...)
	for _, extensions := range [][]pkix.Extension{
		{{Id: oidACMEIdentifier, Critical: true, Value: proof}},
		{{Id: oidACMEIdentifier, Value: proof}},
		{{Id: oidACMEIdentifier, Critical: true, Value: proof}, {Id: oidSubjectAltName, Value: []byte{0x30, 3, 0x82, 1, 'a'}}},
		nil,
	} {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.test"}, ExtraExtensions: extensions}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	id, err := acme.ParseIdentifier(acme.IdentifierDNS, "a.test")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		reason := checkALPNCertificate(cert, id, testKeyAuthorization)
		if reason == "" && (len(cert.DNSNames) != 1 || !strings.EqualFold(cert.DNSNames[0], "a.test") ||
			len(cert.IPAddresses)+len(cert.EmailAddresses)+len(cert.URIs) != 0 || !bytes.Contains(der, proof)) {
			t.Errorf("accepted: %x", der)
		}
		if len(reason) > 4*maxQuote+200 || strings.ContainsFunc(reason, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("not a bounded printable reason: %q", reason)
		}
	})
}

// FuzzSubjectAltName goes straight for the extension: crypto/x509 hides most
// malformed ones.
func FuzzSubjectAltName(f *testing.F) {
	f.Add([]byte{0x30, 8, 0x82, 6, 'a', '.', 't', 'e', 's', 't'})
	f.Add([]byte{0x30, 0x81, 8, 0x82, 6, 'a', '.', 't', 'e', 's', 't'})
	f.Add([]byte{0x30, 6, 0x87, 4, 127, 0, 0, 1})
	f.Add([]byte{0x30, 0})
	id, err := acme.ParseIdentifier(acme.IdentifierDNS, "a.test")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, extension []byte) {
		if checkOnlyName(extension, id) != "" {
			return
		}
		var b cryptobyte.Builder
		b.AddASN1(cryptobyteasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(tagDNSName, func(b *cryptobyte.Builder) { b.AddBytes([]byte("a.test")) })
		})
		if !bytes.EqualFold(extension, b.BytesOrPanic()) {
			t.Errorf("accepted: %x", extension)
		}
	})
}

func TestAddressSlotsForget(t *testing.T) {
	t.Parallel()
	a := addressSlots{limit: 1, held: map[netip.Addr]*addressSlot{}}
	addr := netip.MustParseAddr("192.0.2.1")
	release, err := a.acquire(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan func())
	go func() {
		second, err := a.acquire(t.Context(), addr)
		if err != nil {
			t.Error(err)
		}
		got <- second
	}()
	select {
	case <-got:
		t.Fatal("two hold the only slot")
	default:
	}
	release()
	(<-got)()
	if len(a.held) != 0 {
		t.Errorf("remembers %d addresses that nobody uses", len(a.held))
	}
}
