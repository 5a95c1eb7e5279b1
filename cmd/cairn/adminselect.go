package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

const (
	inventoryPage = 500
	maxKeyFile    = 1 << 20
)

// selection says which certificates an operator means: one way of the
// several.
type selection struct {
	serials    []string
	list       string
	account    string
	key        string
	keyHash    string
	name       string
	subdomains bool
	issuer     string
	max        int
}

func (s *selection) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&s.serials, "serial", nil, "the certificate with the serial number `S`, in hexadecimal; may be repeated")
	f.StringVar(&s.list, "list", "", "the certificates whose serial numbers are in the `FILE`, one a line; - is the standard input")
	f.StringVar(&s.account, "account", "", "all of the account with the URL or identifier `A`")
	f.StringVar(&s.key, "key", "", "all that hold the key in the PEM `FILE`: a public key, a certificate or a certificate request")
	f.StringVar(&s.keyHash, "key-hash", "", "all that hold the key with the SHA-256 `HASH` of its subject public key info, in hexadecimal")
	f.StringVar(&s.name, "name", "", "all with the DNS `NAME`, IP address or device (permanent-identifier:SERIAL); *.example.com is the wildcard name itself")
	f.BoolVar(&s.subdomains, "subdomains", false, "with --name: those with names below it too")
	f.StringVar(&s.issuer, "issuer", "", "all of the issuer with the identifier `I`, as in the URLs of its CRLs")
	f.IntVar(&s.max, "max", 1000, "do nothing when there are more than `N` of them")
}

// flags are the ways to select that were used.
func (s *selection) flags() []string {
	var used []string
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"--serial", len(s.serials) > 0}, {"--list", s.list != ""}, {"--account", s.account != ""},
		{"--key", s.key != ""}, {"--key-hash", s.keyHash != ""}, {"--name", s.name != ""}, {"--issuer", s.issuer != ""},
	} {
		if f.set {
			used = append(used, f.name)
		}
	}
	return used
}

// chosen is a certificate that was selected.
type chosen struct {
	acme.Certificate
	parsed *x509.Certificate
}

// selected finds the certificates that are meant: signed ones that have not
// expired, in the order of their serials.
func (a *admin) selected(ctx context.Context, s selection, stdin io.Reader) ([]chosen, error) {
	switch used := s.flags(); {
	case len(used) == 0:
		return nil, errors.New("say which certificates: with --serial, --list, --account, --key, --key-hash, --name or --issuer")
	case len(used) > 1:
		return nil, fmt.Errorf("say in one way which certificates; %s are two", strings.Join(used[:2], " and "))
	case s.subdomains && s.name == "":
		return nil, errors.New("--subdomains goes with --name")
	case s.max < 1:
		return nil, errors.New("--max must be at least 1")
	}
	if len(s.serials) > 0 || s.list != "" {
		return a.listed(ctx, s, stdin)
	}
	page := sa.CertificatePage{ExpiresAfter: a.now(), Limit: inventoryPage}
	match, err := s.matcher(&page)
	if err != nil {
		return nil, err
	}
	return a.walk(ctx, s, page, match)
}

// listed reads certificates that are named by their serials.
func (a *admin) listed(ctx context.Context, s selection, stdin io.Reader) ([]chosen, error) {
	texts := s.serials
	if s.list != "" {
		var err error
		if texts, err = readSerials(s.list, stdin, s.max); err != nil {
			return nil, err
		}
	}
	if len(texts) > s.max {
		return nil, tooMany(s.max)
	}
	var list []chosen
	seen := make(map[acme.Serial]bool)
	for _, text := range texts {
		serial, err := acme.ParseSerial(strings.ReplaceAll(text, ":", ""))
		if err != nil {
			return nil, err
		}
		if seen[serial] {
			continue
		}
		seen[serial] = true
		cert, err := a.store.Certificate(ctx, serial)
		if errors.Is(err, sa.ErrNotFound) || err == nil && cert.Signed() == nil {
			return nil, fmt.Errorf("this CA has issued no certificate with the serial number %s; nothing was done", serial)
		}
		if err != nil {
			return nil, err
		}
		c, err := choose(cert)
		if err != nil {
			return nil, err
		}
		if cert.NotAfter.After(a.now()) {
			list = append(list, c)
		}
	}
	return list, nil
}

// readSerials reads a file with a serial number a line; blank lines and those
// that begin with # do not count.
func readSerials(file string, stdin io.Reader, limit int) ([]string, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("--list: %w", err)
		}
		defer f.Close()
		in = f
	}
	var serials []string
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if serials = append(serials, line); len(serials) > limit {
			return nil, tooMany(limit)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("--list: reading %s: %w", file, err)
	}
	return serials, nil
}

func tooMany(limit int) error {
	return fmt.Errorf("more than %d certificates are meant; nothing was done. Look at them with --dry-run and a higher --max first", limit)
}

// matcher tells a selected certificate from another; what the store can do
// itself goes into the page.
func (s selection) matcher(page *sa.CertificatePage) (func(chosen) bool, error) {
	switch {
	case s.account != "":
		id, err := acme.ParseID(path.Base(s.account))
		if err != nil {
			return nil, fmt.Errorf("--account: %w", err)
		}
		page.Account = id
		return func(chosen) bool { return true }, nil
	case s.issuer != "":
		id, err := acme.ParseIssuerID(s.issuer)
		if err != nil {
			return nil, fmt.Errorf("--issuer: %w", err)
		}
		return func(c chosen) bool { return c.Issuer == id }, nil
	case s.name != "":
		return s.nameMatcher()
	}
	hash, err := s.spkiHash()
	if err != nil {
		return nil, err
	}
	return func(c chosen) bool { return sha256.Sum256(c.parsed.RawSubjectPublicKeyInfo) == hash }, nil
}

func (s selection) nameMatcher() (func(chosen) bool, error) {
	if addr, err := netip.ParseAddr(s.name); err == nil {
		if s.subdomains {
			return nil, errors.New("--subdomains: an IP address has none")
		}
		return func(c chosen) bool {
			for _, ip := range c.parsed.IPAddresses {
				if got, ok := netip.AddrFromSlice(ip); ok && got.Unmap() == addr.Unmap() {
					return true
				}
			}
			return false
		}, nil
	}
	if id, err := acme.ParseIdentifierString(s.name); err == nil && id.IsDevice() && !s.subdomains {
		return func(c chosen) bool { return slices.Contains(acme.DevicesIn(c.parsed), id) }, nil
	}
	id, err := acme.ParseIdentifier(acme.IdentifierDNS, s.name)
	if err != nil {
		return nil, fmt.Errorf("--name: %w", err)
	}
	name := id.Value()
	return func(c chosen) bool {
		for _, got := range c.parsed.DNSNames {
			if got == name || s.subdomains && strings.HasSuffix(got, "."+name) {
				return true
			}
		}
		return false
	}, nil
}

// spkiHash is the SHA-256 of the subject public key info that --key or
// --key-hash names.
func (s selection) spkiHash() ([32]byte, error) {
	if s.keyHash != "" {
		hash, err := parseKeyHash(s.keyHash)
		if err != nil {
			return [32]byte{}, fmt.Errorf("--key-hash: %w", err)
		}
		return hash, nil
	}
	spki, err := readSPKI(s.key)
	if err != nil {
		return [32]byte{}, fmt.Errorf("--key: %w", err)
	}
	return sha256.Sum256(spki), nil
}

func parseKeyHash(text string) ([32]byte, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil || len(b) != sha256.Size {
		return [32]byte{}, fmt.Errorf("expects the %d hexadecimal digits of a SHA-256 hash; found %q", 2*sha256.Size, text)
	}
	return [32]byte(b), nil
}

// readSPKI reads a public key, alone or in what holds one. A private key is
// not read: it has no business where an operator revokes.
func readSPKI(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s is no PEM file", file)
	}
	switch block.Type {
	case "PUBLIC KEY":
		if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			return nil, fmt.Errorf("reading the public key in %s: %w", file, err)
		}
		return block.Bytes, nil
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading the certificate in %s: %w", file, err)
		}
		return cert.RawSubjectPublicKeyInfo, nil
	case "CERTIFICATE REQUEST":
		csr, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading the certificate request in %s: %w", file, err)
		}
		return csr.RawSubjectPublicKeyInfo, nil
	}
	return nil, fmt.Errorf("%s holds a %s; expects a PUBLIC KEY (openssl pkey -in KEY -pubout makes one), a CERTIFICATE or a CERTIFICATE REQUEST", file, strings.ToLower(block.Type))
}

// walk looks through the certificates and keeps those that match.
func (a *admin) walk(ctx context.Context, s selection, page sa.CertificatePage, match func(chosen) bool) ([]chosen, error) {
	progress := newProgress(a.tell, "looked through", 0)
	defer progress.done()
	var list []chosen
	for {
		certs, err := a.store.Certificates(ctx, page)
		if err != nil {
			return nil, err
		}
		for _, cert := range certs {
			if cert.Signed() == nil {
				continue
			}
			c, err := choose(cert)
			if err != nil {
				return nil, err
			}
			if !match(c) {
				continue
			}
			if list = append(list, c); len(list) > s.max {
				return nil, tooMany(s.max)
			}
		}
		progress.add(len(certs))
		if len(certs) < page.Limit {
			return list, nil
		}
		page.After = certs[len(certs)-1].Serial
	}
}

func choose(cert acme.Certificate) (chosen, error) {
	parsed, err := x509.ParseCertificate(cert.Signed())
	if err != nil {
		return chosen{}, fmt.Errorf("reading certificate %s: %w", cert.Serial, err)
	}
	return chosen{cert, parsed}, nil
}

// names are a certificate's names, for people.
func (c chosen) names() []string {
	names := append([]string{}, c.parsed.DNSNames...)
	for _, ip := range c.parsed.IPAddresses {
		names = append(names, ip.String())
	}
	for _, id := range acme.DevicesIn(c.parsed) {
		names = append(names, id.String())
	}
	return names
}

// chosenDocument is a certificate as admin commands print it.
type chosenDocument struct {
	Serial    string    `json:"serial"`
	Names     []string  `json:"names"`
	Account   string    `json:"account,omitempty"`
	NotAfter  time.Time `json:"not_after"`
	Status    string    `json:"status"` // valid or revoked, before the command
	Successor bool      `json:"replaced,omitempty"`
}

func newChosenDocument(c chosen) chosenDocument {
	d := chosenDocument{Serial: c.Serial.String(), Names: c.names(), NotAfter: c.NotAfter.UTC(), Status: "valid"}
	if !c.Account.IsZero() {
		d.Account = c.Account.String()
	}
	if c.Revocation != nil {
		d.Status = "revoked"
	}
	return d
}
