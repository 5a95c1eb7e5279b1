package ceremony

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
)

const day = 24 * time.Hour

var secret = []byte("correct horse")

func given() ([]byte, error) { return secret, nil }

// wholePlan has one of everything, and two roots that certify each other. Its
// keys are quick to make and, but for one, to open.
func wholePlan() Plan {
	none := 0
	name := func(cn string) pkix.Name {
		return pkix.Name{CommonName: cn, Organization: []string{"Test"}, Country: []string{"NZ"}}
	}
	between := Extensions{
		ExtendedKeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		Policies:          []x509.OID{mustOID("2.5.29.32.0")}, CRLURL: "http://pki.test/r1.crl", IssuerURL: "http://pki.test/r1.der",
	}
	issuing := between
	issuing.PathLength, issuing.PermittedNames = &none, []string{"test"}
	plain := func(file string) Key { return Key{Type: key.P256, File: file} }
	return Plan{
		Roots: []CA{
			{Name: "r1", File: "r1.pem", Subject: name("Root 1"), Key: Key{Type: key.P384, File: "keys/r1.key", Passphrase: given}, Validity: Validity{For: 7300 * day}},
			{Name: "r2", File: "r2.pem", Subject: name("Root 2"), Key: plain("keys/r2.key"), Validity: Validity{For: 7300 * day}},
		},
		// The one below stands before the one above.
		Intermediates: []CA{
			{Name: "a", File: "a.pem", Subject: name("Issuing"), Key: plain("keys/a.key"), Validity: Validity{For: 365 * day}, Issuer: "policy", Extensions: issuing},
			{Name: "policy", File: "policy.pem", Subject: name("Policy"), Key: plain("keys/policy.key"), Validity: Validity{For: 730 * day}, Issuer: "r1", Extensions: between},
		},
		CrossCertificates: []Cross{
			{Name: "r1-by-r2", File: "r1-by-r2.pem", Of: "r1", Issuer: "r2", Validity: Validity{For: 3650 * day}, Extensions: between},
			{Name: "r2-by-r1", File: "r2-by-r1.pem", Of: "r2", Issuer: "r1", Validity: Validity{For: 3650 * day}, Extensions: between},
		},
		OCSPSigners: []OCSPSigner{{Name: "ocsp", File: "ocsp.pem", Key: plain("keys/ocsp.key"), Issuer: "r1", Validity: Validity{For: 90 * day}}},
		CRLs: []CRL{{Name: "crl", File: "r1.crl", Issuer: "r1", Number: 7, Validity: Validity{For: 180 * day}, Revoked: []Revoked{
			{Serial: mustSerial("1a2b3c"), At: time.Now().Add(-time.Hour), Reason: acme.ReasonKeyCompromise},
		}}},
		Chains: []Chain{{Name: "full", File: "full.pem", Certificates: []string{"a", "policy", "r1-by-r2"}}},
	}
}

func mustOID(s string) x509.OID {
	oid, err := x509.ParseOID(s)
	if err != nil {
		panic(err)
	}
	return oid
}

func mustSerial(s string) acme.Serial {
	serial, err := acme.ParseSerial(s)
	if err != nil {
		panic(err)
	}
	return serial
}

func config(t *testing.T, p Plan) Config {
	t.Helper()
	return Config{Plan: p, Folder: filepath.Join(t.TempDir(), "made"), Out: io.Discard, Now: time.Now, Random: rand.Reader}
}

// openssl runs openssl in a folder and gives what it prints.
func openssl(t *testing.T, folder string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// files lists what is in a folder, with the modes.
func files(t *testing.T, folder string) map[string]os.FileMode {
	t.Helper()
	found := map[string]os.FileMode{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		name, _ := filepath.Rel(folder, path)
		found[name] = info.Mode()
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}

// Everything that a plan can have, as others see it.
func TestCeremony(t *testing.T) {
	t.Parallel()
	plan := wholePlan()
	plan.Roots[1].Key = Key{Type: key.RSA, File: "keys/r2.key", Passphrase: given}
	cfg := config(t, plan)
	var out bytes.Buffer
	cfg.Out, cfg.Header = &out, []Line{{"by", "a test\x1b[31m"}}
	if err := Run(cfg); err != nil {
		t.Fatal(err)
	}
	folder := cfg.Folder
	want := []string{"a.pem", "full.pem", "keys/a.key", "keys/ocsp.key", "keys/policy.key", "keys/r1.key", "keys/r2.key", "ocsp.pem", "policy.pem", "r1-by-r2.pem", "r1.crl", "r1.pem", "r2-by-r1.pem", "r2.pem", TranscriptFile}
	slices.Sort(want)
	found := files(t, folder)
	var names []string
	for name, mode := range found {
		names = append(names, name)
		if strings.HasPrefix(name, "keys/") && mode.Perm() != 0o600 {
			t.Errorf("%s has mode %s", name, mode)
		}
	}
	if slices.Sort(names); !slices.Equal(names, want) {
		t.Errorf("the folder has %q, want %q", names, want)
	}
	record, err := os.ReadFile(filepath.Join(folder, TranscriptFile))
	if err != nil || !bytes.Equal(record, out.Bytes()) {
		t.Errorf("the transcript is not what was printed: %v", err)
	}
	if bytes.ContainsRune(record, 0x1b) || bytes.Contains(record, secret) {
		t.Error("the record has a control character, or a secret")
	}

	openssl(t, folder, "verify", "-x509_strict", "-CAfile", "r1.pem", "-untrusted", "policy.pem", "a.pem")
	openssl(t, folder, "verify", "-x509_strict", "-CAfile", "r2.pem", "-untrusted", "full.pem", "a.pem")
	openssl(t, folder, "verify", "-x509_strict", "-CAfile", "r1.pem", "r2-by-r1.pem")
	openssl(t, folder, "verify", "-CAfile", "r1.pem", "-purpose", "ocsphelper", "ocsp.pem")
	if text := openssl(t, folder, "crl", "-inform", "DER", "-in", "r1.crl", "-CAfile", "r1.pem", "-noout", "-text"); !strings.Contains(text, "verify OK") || !strings.Contains(text, "1A2B3C") || !strings.Contains(text, "Key Compromise") {
		t.Errorf("openssl reads the CRL as\n%s", text)
	}
	if text := openssl(t, folder, "x509", "-in", "ocsp.pem", "-noout", "-text"); !strings.Contains(text, "OCSP No Check") || !strings.Contains(text, "OCSP Signing") {
		t.Errorf("openssl reads the OCSP signer as\n%s", text)
	}
	if text := openssl(t, folder, "x509", "-in", "a.pem", "-noout", "-text"); !strings.Contains(text, "pathlen:0") || !strings.Contains(text, "DNS:test") {
		t.Errorf("openssl reads the issuing certificate as\n%s", text)
	}
	for _, name := range []string{"r1", "r2", "policy", "ocsp"} {
		public := openssl(t, folder, "pkey", "-in", "keys/"+name+".key", "-passin", "pass:"+string(secret), "-pubout")
		if certified := openssl(t, folder, "x509", "-in", name+".pem", "-noout", "-pubkey"); certified != public {
			t.Errorf("the key of %s is another", name)
		}
		// The record has openssl's fingerprint.
		_, fingerprint, _ := strings.Cut(openssl(t, folder, "x509", "-in", name+".pem", "-noout", "-fingerprint", "-sha256"), "=")
		if !strings.Contains(string(record), strings.TrimSpace(fingerprint)) {
			t.Errorf("the record lacks the fingerprint of %s", name)
		}
	}

	// Another run changes nothing.
	before := content(t, folder)
	if err := Run(cfg); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second run: %v", err)
	}
	if after := content(t, folder); !maps.Equal(before, after) {
		t.Error("a second run changed files")
	}
}

func content(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for name := range files(t, folder) {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(data)
	}
	return all
}

// A dry run prints and lints, and writes nothing; existing keys sign nothing.
func TestDryRun(t *testing.T) {
	t.Parallel()
	first := config(t, wholePlan())
	if err := Run(first); err != nil {
		t.Fatal(err)
	}
	token := &memoryTokens{}
	rootKey, err := key.File{Path: filepath.Join(first.Folder, "keys/r1.key"), Passphrase: given}.Open()
	if err != nil {
		t.Fatal(err)
	}
	token.put("pkcs11:object=r1", rootKey)
	plan := Plan{
		Existing: []Existing{{Name: "r1", Certificate: readCert(t, filepath.Join(first.Folder, "r1.pem")), Key: &Key{PKCS11: "pkcs11:object=r1"}}},
		CRLs:     []CRL{{Name: "crl", File: "r1.crl", Issuer: "r1", Number: 8, Validity: Validity{For: 90 * day}}},
	}
	sub := wholePlan().Intermediates[1]
	sub.Key = Key{Type: key.P384, PKCS11: "pkcs11:object=sub"}
	plan.Intermediates = []CA{sub}
	cfg := config(t, plan)
	var out bytes.Buffer
	cfg.DryRun, cfg.Out, cfg.Tokens = true, &out, token
	if err := Run(cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cfg.Folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the dry run made the folder: %v", err)
	}
	if token.signatures != 0 || len(token.keys) != 1 {
		t.Errorf("the dry run signed %d times with an existing key; the token has %d keys", token.signatures, len(token.keys))
	}
	if text := out.String(); !strings.Contains(text, "DRY RUN") || !strings.Contains(text, "intermediate policy") || !strings.Contains(text, "CRL crl") {
		t.Errorf("it printed\n%s", text)
	}
	// In earnest, with an existing root and keys on a token.
	cfg.DryRun = false
	if err := Run(cfg); err != nil {
		t.Fatal(err)
	}
	if token.signatures != 2+1 { // two signatures of the root's, one to see that the new key signs
		t.Errorf("keys on the token signed %d times", token.signatures)
	}
	made := readCert(t, filepath.Join(cfg.Folder, "policy.pem"))
	if !key.Equal(made.PublicKey, token.keys["pkcs11:object=sub"].Public()) {
		t.Error("the intermediate's key is not the one on the token")
	}
	// A key that exists on the token is not replaced; nothing is left.
	again := config(t, plan)
	again.Tokens = token
	if err := Run(again); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a key that is on the token: %v", err)
	}
	if left := files(t, again.Folder); len(left) > 0 {
		t.Errorf("a failed run left %v", left)
	}
	again.Tokens = nil
	if err := Run(again); !errors.Is(err, errNoTokens) {
		t.Errorf("without tokens: %v", err)
	}
}

func readCert(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	certs, err := readCertificates(path)
	if err != nil {
		t.Fatal(err)
	}
	return certs[0]
}

// memoryTokens keeps keys as a token would.
type memoryTokens struct {
	keys       map[string]crypto.Signer
	signatures int
}

func (m *memoryTokens) put(uri string, signer crypto.Signer) {
	if m.keys == nil {
		m.keys = map[string]crypto.Signer{}
	}
	m.keys[uri] = signer
}

func (m *memoryTokens) Open(uri string) (crypto.Signer, error) {
	if m.keys[uri] == nil {
		return nil, fmt.Errorf("%s: %w", uri, fs.ErrNotExist)
	}
	return counted{m.keys[uri], m}, nil
}

func (m *memoryTokens) Generate(uri string, kind key.Type, bits int) (crypto.Signer, error) {
	if m.keys[uri] != nil {
		return nil, fmt.Errorf("%s: %w", uri, fs.ErrExist)
	}
	signer, err := key.Generate(kind, rand.Reader)
	m.put(uri, signer)
	return counted{signer, m}, err
}

type counted struct {
	crypto.Signer
	tokens *memoryTokens
}

func (c counted) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	c.tokens.signatures++
	return c.Signer.Sign(random, digest, opts)
}

// Plans that can't be carried out are refused before anything is there.
func TestPlans(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*Plan)
		want   string
	}{
		{"nothing", func(p *Plan) { *p = Plan{} }, "makes nothing"},
		{"two of one name", func(p *Plan) { p.Roots[1].Name = "r1" }, "two things have this name"},
		{"one file for two", func(p *Plan) { p.Roots[1].File = "R1.pem" }, "is that of r1 already"},
		{"a key over a certificate", func(p *Plan) { p.Roots[0].Key.File = "a.pem" }, "already"},
		{"a file outside", func(p *Plan) { p.Roots[0].File = "../r1.pem" }, "not a path below"},
		{"an absolute file", func(p *Plan) { p.Roots[0].Key.File = "/tmp/r1.key" }, "not a path below"},
		{"the transcript", func(p *Plan) { p.Roots[0].File = TranscriptFile }, "the transcript"},
		{"no issuer", func(p *Plan) { p.Intermediates[1].Issuer = "r9" }, `"r9", is not in the plan`},
		{"an issuer without a key", func(p *Plan) { p.Intermediates[1].Issuer = "r1-by-r2" }, "no key in this plan"},
		{"a circle", func(p *Plan) { p.Intermediates[1].Issuer = "a" }, "in a circle"},
		{"longer than the issuer", func(p *Plan) { p.Intermediates[0].Validity.For = 800 * day }, "longer than its issuer policy"},
		{"before the issuer", func(p *Plan) { p.Intermediates[1].Validity.NotBefore = time.Now().Add(-day) }, "before its issuer r1"},
		{"below path length 0", func(p *Plan) { none := 0; p.Intermediates[1].PathLength = &none }, "path length"},
		{"no country, for public use", func(p *Plan) { p.Roots[0].Subject.Country = nil }, "e_ca_country_name_missing"},
		{"no CRL, for public use", func(p *Plan) { p.Intermediates[1].CRLURL = "" }, "e_sub_ca_crl_distribution_points_missing"},
		{"no policy", func(p *Plan) { p.Intermediates[1].Policies = nil }, "polic"},
		{"a CRL for two years", func(p *Plan) { p.CRLs[0].Validity.For = 800 * day }, "e_crl_next_update_invalid"},
		{"a CRL's reason", func(p *Plan) { p.CRLs[0].Revoked[0].Reason = acme.ReasonCertificateHold }, "e_cab_crl_has_valid_reason_code"},
		{"a CRL without a number", func(p *Plan) { p.CRLs[0].Number = 0 }, "has a number"},
		{"a chain that is none", func(p *Plan) { p.Chains[0].Certificates = []string{"a", "r1-by-r2"} }, "was not issued by"},
		{"a weak key", func(p *Plan) { p.Roots[1].Key.Type, p.Roots[1].Key.Bits = key.RSA, 1024 }, "2048"},
		{"an OCSP signer of an absent CA", func(p *Plan) { p.OCSPSigners[0].Issuer = "nobody" }, "not in the plan"},
		{"a cross-certificate of itself", func(p *Plan) { p.CrossCertificates[0].Issuer = "r1" }, "does not cross-certify itself"},
		{"an empty passphrase", func(p *Plan) { p.Roots[0].Key.Passphrase = func() ([]byte, error) { return nil, nil } }, "empty"},
		{"no passphrase", func(p *Plan) {
			p.Roots[0].Key.Passphrase = func() ([]byte, error) { return nil, errors.New("nobody is there") }
		}, "nobody is there"},
		{"a key in two places", func(p *Plan) { p.Roots[0].Key.PKCS11 = "pkcs11:object=x" }, "name one of them"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			plan := wholePlan()
			test.change(&plan)
			cfg := config(t, plan)
			if err := Run(cfg); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
			if left := files(t, cfg.Folder); len(left) > 0 {
				t.Errorf("it left %v", left)
			}
		})
	}
	// The rules of public root programs are not those of private CAs.
	plan := wholePlan()
	plan.Lint = ca.PrivateCALints()
	plan.Roots[0].Subject.Country, plan.Intermediates[1].CRLURL = nil, ""
	cfg := config(t, plan)
	cfg.DryRun = true
	if err := Run(cfg); err != nil {
		t.Errorf("a private CA: %v", err)
	}
}
