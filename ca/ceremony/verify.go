package ceremony

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cairn-ca/cairn/ca/key"
)

// verify reads what was made from the disk and checks it as a relying party
// would, and a signer that opens the keys: nothing in memory is taken at its
// word but the plan and the record's hashes.
func (m *maker) verify(folder string) error {
	onDisk := map[string]*x509.Certificate{}
	for _, e := range m.Plan.Existing {
		onDisk[e.Name] = e.Certificate
	}
	for _, a := range m.artefacts {
		path := filepath.Join(folder, a.file.path)
		data, err := key.ReadPublic(path)
		if err != nil {
			return err
		}
		if a.cert != nil {
			cert, err := x509.ParseCertificate(firstCertificate(data))
			if err != nil {
				return fmt.Errorf("%s: %w", a.file.path, err)
			}
			onDisk[a.name] = cert
			if err := m.verifyCertificate(folder, a, cert, onDisk); err != nil {
				return fmt.Errorf("%s: %w", a.file.path, err)
			}
			continue
		}
		if a.list != nil {
			err = verifyCRL(a, data, onDisk[a.issuer])
		} else {
			err = verifyChain(data, a.chain)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", a.file.path, err)
		}
	}
	return nil
}

func firstCertificate(data []byte) []byte {
	if block, _ := pem.Decode(data); block != nil && block.Type == key.PEMCertificate {
		return block.Bytes
	}
	return nil
}

func (m *maker) verifyCertificate(folder string, a artefact, cert *x509.Certificate, onDisk map[string]*x509.Certificate) error {
	if !bytes.Equal(cert.Raw, a.cert.Raw) {
		return errors.New("it is not the certificate in the record")
	}
	issuer := cert
	if a.issuer != "" {
		issuer = onDisk[a.issuer]
	}
	if err := cert.CheckSignatureFrom(issuer); err != nil {
		return err
	}
	if a.kind == "OCSP signer" {
		if err := verifyOCSPSigner(cert); err != nil {
			return err
		}
	}
	if err := m.verifyPath(a, cert, onDisk); err != nil {
		return err
	}
	if a.key == nil {
		return nil
	}
	signer, err := m.reopen(folder, *a.key)
	if err != nil {
		return err
	}
	if !key.Equal(signer.Public(), cert.PublicKey) {
		return fmt.Errorf("%s is not its key", a.key)
	}
	// The key signs, and not only names itself.
	_, err = key.SignEnvelope(m.Random, signer, cert.RawTBSCertificate)
	return err
}

// reopen opens a key that was just made.
func (m *maker) reopen(folder string, k Key) (crypto.Signer, error) {
	if k.PKCS11 != "" {
		return m.Tokens.Open(k.PKCS11)
	}
	f := key.File{Path: filepath.Join(folder, k.File)}
	if keys, ok := m.keys.(*newKeys); ok {
		f.Passphrase = keys.passphrase(k)
	}
	return f.Open()
}

// verifyPath builds the path from a certificate to the top of its branch
// (RFC 5280 §6), at the moment from which the whole of it is valid.
func (m *maker) verifyPath(a artefact, cert *x509.Certificate, onDisk map[string]*x509.Certificate) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	at := cert.NotBefore
	name := a.issuer
	top := cert
	for range len(onDisk) {
		if name == "" {
			break
		}
		top = onDisk[name]
		if top.NotBefore.After(at) {
			at = top.NotBefore
		}
		between.AddCert(top)
		name = m.certificates[name].issuer
	}
	roots.AddCert(top)
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

var oidOCSPNoCheck = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}

// verifyOCSPSigner checks what RFC 6960 §4.2.2.2 and Baseline Requirements
// §7.1.2.8 ask of a delegated signer.
func verifyOCSPSigner(cert *x509.Certificate) error {
	noCheck := false
	for _, e := range cert.Extensions {
		noCheck = noCheck || e.Id.Equal(oidOCSPNoCheck) && bytes.Equal(e.Value, asn1.NullBytes)
	}
	switch {
	case len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageOCSPSigning || len(cert.UnknownExtKeyUsage) > 0:
		return errors.New("it is not for OCSP signing alone")
	case cert.KeyUsage != x509.KeyUsageDigitalSignature:
		return errors.New("its key usage is not digitalSignature")
	case cert.IsCA:
		return errors.New("it is a CA's")
	case !noCheck:
		return errors.New("it lacks the extension id-pkix-ocsp-nocheck")
	case len(cert.CRLDistributionPoints)+len(cert.OCSPServer) > 0:
		return errors.New("it points to revocation information that nobody would check")
	}
	return nil
}

func verifyCRL(a artefact, data []byte, issuer *x509.Certificate) error {
	list, err := x509.ParseRevocationList(data)
	if err != nil {
		return err
	}
	if err := list.CheckSignatureFrom(issuer); err != nil {
		return err
	}
	switch {
	case !bytes.Equal(list.Raw, a.list.Raw):
		return errors.New("it is not the CRL in the record")
	case !bytes.Equal(list.RawIssuer, issuer.RawSubject) || !bytes.Equal(list.AuthorityKeyId, issuer.SubjectKeyId):
		return errors.New("it names another issuer")
	case list.Number == nil || !list.NextUpdate.After(list.ThisUpdate):
		return errors.New("it has no number, or no time")
	}
	return nil
}

func verifyChain(data []byte, want []*x509.Certificate) error {
	for i, w := range want {
		block, rest := pem.Decode(data)
		if block == nil || block.Type != key.PEMCertificate || !bytes.Equal(block.Bytes, w.Raw) {
			return errors.New("it is not the chain in the record")
		}
		data = rest
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		if i+1 < len(want) {
			if err := cert.CheckSignatureFrom(want[i+1]); err != nil {
				return err
			}
		}
	}
	if len(bytes.TrimSpace(data)) > 0 {
		return errors.New("there is more in it than the chain")
	}
	return nil
}
