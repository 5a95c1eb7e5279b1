package ceremony

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.step.sm/crypto/pemutil"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/ca/key"
)

// foreign is a hierarchy as other software makes it: a root, one between, and
// one that issues.
type foreign struct {
	certs [3]*x509.Certificate // the root first
	keys  [3]crypto.Signer
}

// newForeign makes a hierarchy; change may alter the template of each level.
func newForeign(t *testing.T, change func(level int, template *x509.Certificate)) *foreign {
	t.Helper()
	var f foreign
	for level := range f.certs {
		signer, err := key.Generate(key.P256, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		f.keys[level] = signer
	}
	f.sign(t, change)
	return &f
}

func (f *foreign) sign(t *testing.T, change func(int, *x509.Certificate)) {
	t.Helper()
	for level := range f.certs {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(level + 1)), Subject: pkix.Name{CommonName: fmt.Sprintf("Level %d", level)},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * day),
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, IsCA: true, BasicConstraintsValid: true, MaxPathLen: -1,
		}
		if change != nil {
			change(level, template)
		}
		parent, by := template, f.keys[0]
		if level > 0 {
			parent, by = f.certs[level-1], f.keys[level-1]
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, f.keys[level].Public(), by)
		if err != nil {
			t.Fatal(err)
		}
		if f.certs[level], err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
	}
}

func (f *foreign) material() Material {
	return Material{Root: f.certs[0], Chain: []*x509.Certificate{f.certs[2], f.certs[1]}, Issuer: f.keys[2], RootKey: f.keys[0]}
}

func importConfig(t *testing.T, m Material) ImportConfig {
	t.Helper()
	return ImportConfig{Material: m, Folder: filepath.Join(t.TempDir(), "data"), Out: io.Discard, Now: time.Now, Random: rand.Reader}
}

// What was imported is what the signing authority opens.
func TestImport(t *testing.T) {
	t.Parallel()
	for _, passphrase := range [][]byte{nil, secret} {
		f := newForeign(t, nil)
		cfg := importConfig(t, f.material())
		var out bytes.Buffer
		cfg.Passphrase, cfg.Out = passphrase, &out
		if err := Import(cfg); err != nil {
			t.Fatal(err)
		}
		open := ca.HierarchyConfig{Folder: cfg.Folder, Now: time.Now, Random: rand.Reader}
		if passphrase != nil {
			if _, err := ca.OpenHierarchy(open); err == nil || !strings.Contains(err.Error(), "encrypted") {
				t.Errorf("without a passphrase: %v", err)
			}
			open.Passphrase = given
		}
		h, err := ca.OpenHierarchy(open)
		if err != nil {
			t.Fatal(err)
		}
		if !h.Root.Equal(f.certs[0]) || len(h.Issuer.Chains[0]) != 2 || !h.Issuer.Chains[0][0].Equal(f.certs[2]) || !key.Equal(h.Issuer.Signer.Public(), f.keys[2].Public()) {
			t.Errorf("it opens as %+v", h)
		}
		for name, mode := range files(t, cfg.Folder) {
			if strings.HasPrefix(name, "keys/") && mode.Perm() != 0o600 {
				t.Errorf("%s has mode %s", name, mode)
			}
		}
		if record, err := os.ReadFile(filepath.Join(cfg.Folder, TranscriptFile)); err != nil || !bytes.Equal(record, out.Bytes()) || !strings.Contains(out.String(), "Level 1") {
			t.Errorf("the record is %s, %v", record, err)
		}
		// A CA that is there stays.
		before := content(t, cfg.Folder)
		other := importConfig(t, newForeign(t, nil).material())
		other.Folder = cfg.Folder
		if err := Import(other); err == nil || !strings.Contains(err.Error(), "has a CA already") {
			t.Errorf("another import: %v", err)
		}
		if after := content(t, cfg.Folder); before[ca.RootFile] != after[ca.RootFile] || len(before) != len(after) {
			t.Error("another import changed the folder")
		}
	}
}

// Hierarchies that Cairn could not issue with, or nobody would trust.
func TestImportRefuses(t *testing.T) {
	t.Parallel()
	at := func(level int, change func(*x509.Certificate)) func(int, *x509.Certificate) {
		return func(l int, template *x509.Certificate) {
			if l == level {
				change(template)
			}
		}
	}
	for _, test := range []struct {
		name     string
		template func(int, *x509.Certificate)
		change   func(*testing.T, *foreign, *Material)
		want     string
	}{
		{"an expired intermediate", at(2, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), nil, "expired at"},
		{"an expired root", at(0, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), nil, "expired at"},
		{"one that is not valid yet", at(1, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }), nil, "not valid before"},
		{"no CA", at(2, func(c *x509.Certificate) { c.IsCA = false }), nil, "not a CA's"},
		{"no CA in the middle", at(1, func(c *x509.Certificate) { c.IsCA = false }), nil, "Level 1"},
		{"no keyCertSign", at(2, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), nil, "does not allow it to issue"},
		{"no cRLSign", at(2, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }), nil, "may not sign CRLs"},
		{"path length", at(0, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }), nil, "too many intermediates"},
		{"another key", nil, func(_ *testing.T, f *foreign, m *Material) { m.Issuer = f.keys[1] }, "the key is not that of"},
		{"another root key", nil, func(_ *testing.T, f *foreign, m *Material) { m.RootKey = f.keys[1] }, "the root's key is not"},
		{"another root", nil, func(t *testing.T, _ *foreign, m *Material) { m.Root = newForeign(t, nil).certs[0]; m.RootKey = nil }, "was not issued by"},
		{"a gap", nil, func(_ *testing.T, _ *foreign, m *Material) { m.Chain = m.Chain[:1] }, "was not issued by"},
		{"the root in the chain", nil, func(_ *testing.T, f *foreign, m *Material) { m.Chain = append(m.Chain, f.certs[0]) }, "self-signed"},
		{"no root", nil, func(_ *testing.T, _ *foreign, m *Material) { m.Root = nil }, "root certificate is missing"},
		{"a root that is none", nil, func(_ *testing.T, f *foreign, m *Material) { m.Root, m.Chain = f.certs[1], m.Chain[:1] }, "it is no root"},
		{"no intermediate", nil, func(_ *testing.T, _ *foreign, m *Material) { m.Chain = nil }, "cairn ceremony"},
		{"a short key", nil, func(t *testing.T, f *foreign, m *Material) {
			short, err := rsa.GenerateKey(rand.Reader, 1024)
			if err != nil {
				t.Fatal(err)
			}
			f.keys[2] = short
			f.sign(t, nil)
			*m = f.material()
		}, "2048"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newForeign(t, test.template)
			m := f.material()
			if test.change != nil {
				test.change(t, f, &m)
			}
			cfg := importConfig(t, m)
			if err := Import(cfg); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
			if left := files(t, cfg.Folder); len(left) > 0 {
				t.Errorf("it left %v", left)
			}
		})
	}
}

func writeFile(t *testing.T, path string, data []byte) string {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

func pems(certs ...*x509.Certificate) []byte {
	var all []byte
	for _, c := range certs {
		all = append(all, encodeCertificate(c)...)
	}
	return all
}

func isWhole(t *testing.T, f *foreign, m Material) {
	t.Helper()
	if !m.Root.Equal(f.certs[0]) || len(m.Chain) != 2 || !m.Chain[0].Equal(f.certs[2]) || !m.Chain[1].Equal(f.certs[1]) || !key.Equal(m.Issuer.Public(), f.keys[2].Public()) {
		t.Errorf("it was read as %+v", m)
	}
}

func TestReadPEM(t *testing.T) {
	t.Parallel()
	f := newForeign(t, nil)
	folder := t.TempDir()
	plain, err := key.Encode(f.keys[2])
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := key.EncodeEncrypted(rand.Reader, f.keys[2], secret)
	if err != nil {
		t.Fatal(err)
	}
	root := writeFile(t, filepath.Join(folder, "root.pem"), pems(f.certs[0]))
	private := writeFile(t, filepath.Join(folder, "key.pem"), plain)
	// In any order, and with what does not belong there.
	for name, certs := range map[string][]byte{
		"in order":     pems(f.certs[2], f.certs[1]),
		"out of order": pems(f.certs[1], newForeign(t, nil).certs[1], f.certs[2]),
		"with a root":  pems(f.certs[0], f.certs[1], f.certs[2]),
	} {
		m, encrypted, err := ReadPEM(PEMFiles{Root: root, Chain: writeFile(t, filepath.Join(folder, name), certs), Key: private})
		if err != nil || encrypted {
			t.Errorf("%s: %v, %v", name, encrypted, err)
			continue
		}
		isWhole(t, f, m)
	}
	// All in one file, with an encrypted key.
	one := writeFile(t, filepath.Join(folder, "all.pem"), append(encoded, pems(f.certs[:]...)...))
	m, encrypted, err := ReadPEM(PEMFiles{Chain: one, Key: one, Passphrase: given})
	if err != nil || !encrypted {
		t.Fatalf("one file: %v, %v", encrypted, err)
	}
	isWhole(t, f, m)
	for name, files := range map[string]PEMFiles{
		"the root is not there":   {Chain: writeFile(t, filepath.Join(folder, "short.pem"), pems(f.certs[2], f.certs[1])), Key: private},
		"certificates of another": {Chain: root, Key: private},
		"no certificate":          {Chain: private, Key: private},
		"no key":                  {Chain: one, Key: root},
		"no file":                 {Chain: filepath.Join(folder, "none"), Key: private},
	} {
		if _, _, err := ReadPEM(files); err == nil || !strings.Contains(err.Error(), folder) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadPKCS12(t *testing.T) {
	t.Parallel()
	f := newForeign(t, nil)
	folder := t.TempDir()
	data, err := pkcs12.Modern.Encode(f.keys[2], f.certs[2], []*x509.Certificate{f.certs[0], f.certs[1]}, string(secret))
	if err != nil {
		t.Fatal(err)
	}
	whole := writeFile(t, filepath.Join(folder, "whole.p12"), data)
	m, err := ReadPKCS12(whole, "", given)
	if err != nil {
		t.Fatal(err)
	}
	isWhole(t, f, m)
	if _, err := ReadPKCS12(whole, "", func() ([]byte, error) { return []byte("wrong"), nil }); !errors.Is(err, key.ErrPassphrase) {
		t.Errorf("a wrong passphrase: %v", err)
	}
	// As openssl writes it, with the root in a file of its own.
	encoded, err := key.Encode(f.keys[2])
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(folder, "all.pem"), append(encoded, pems(f.certs[2], f.certs[1])...))
	openssl(t, folder, "pkcs12", "-export", "-in", "all.pem", "-out", "openssl.p12", "-passout", "pass:"+string(secret))
	root := writeFile(t, filepath.Join(folder, "root.pem"), pems(f.certs[0]))
	if m, err = ReadPKCS12(filepath.Join(folder, "openssl.p12"), root, given); err != nil {
		t.Fatal(err)
	}
	isWhole(t, f, m)
	if _, err := ReadPKCS12(filepath.Join(folder, "openssl.p12"), "", given); err == nil || !strings.Contains(err.Error(), "name the root") {
		t.Errorf("without its root: %v", err)
	}
}

// stepFolder makes a folder as step-ca has it.
func stepFolder(t *testing.T, f *foreign, config string) string {
	t.Helper()
	folder := t.TempDir()
	block, err := pemutil.Serialize(f.keys[2], pemutil.WithPassword(secret))
	if err != nil {
		t.Fatal(err)
	}
	if block.Headers["DEK-Info"] == "" {
		t.Fatal("the key is not as step-ca writes it")
	}
	writeFile(t, filepath.Join(folder, "certs", "root_ca.crt"), pems(f.certs[0]))
	writeFile(t, filepath.Join(folder, "certs", "intermediate_ca.crt"), pems(f.certs[2], f.certs[1]))
	writeFile(t, filepath.Join(folder, "secrets", "intermediate_ca_key"), pem.EncodeToMemory(block))
	if config != "" {
		writeFile(t, filepath.Join(folder, "config", "ca.json"), []byte(config))
	}
	return folder
}

func TestReadStepCA(t *testing.T) {
	t.Parallel()
	f := newForeign(t, nil)
	const paths = `{"root": "/home/step/certs/root_ca.crt", "crt": "/home/step/certs/intermediate_ca.crt", "key": "/home/step/secrets/intermediate_ca_key"`
	for _, test := range []struct {
		name, config, password string
		passphrase             key.Passphrase
		want                   string
	}{
		{"no ca.json", "", "", given, ""},
		{"paths of another machine", paths + `, "dnsNames": ["ca"]}`, "", given, ""},
		{"several roots", strings.Replace(paths, `"/home/step/certs/root_ca.crt"`, `["/home/step/certs/root_ca.crt"]`, 1) + "}", "", given, ""},
		{"the password in ca.json", paths + `, "password": "` + string(secret) + `"}`, "", nil, ""},
		{"the password in secrets", paths + "}", string(secret) + "\n", nil, ""},
		{"no password", paths + "}", "", nil, "encrypted"},
		{"a wrong password", paths + "}", "wrong\n", nil, "does not open"},
		{"a key elsewhere", `{"key": "pkcs11:id=1"}`, "", given, "kept elsewhere"},
		{"broken", `{"key": `, "", given, "ca.json"},
	} {
		folder := stepFolder(t, f, test.config)
		if test.password != "" {
			writeFile(t, filepath.Join(folder, "secrets", "password"), []byte(test.password))
		}
		m, used, err := ReadStepCA(folder, test.passphrase)
		if test.want != "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err != nil || !bytes.Equal(used, secret) {
			t.Errorf("%s: %q, %v", test.name, used, err)
			continue
		}
		isWhole(t, f, m)
	}
}

func FuzzCertificates(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if certs, err := parseCertificates(data); (err == nil) != (len(certs) > 0) {
			t.Errorf("%v, %v", certs, err)
		}
	})
}
