package ceremony

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/ca/key"
)

// maker makes what the plan says, in memory.
type maker struct {
	Config
	now      time.Time
	keys     keyMaker
	existing map[string]crypto.Signer

	certificates map[string]certificate
	artefacts    []artefact // in the order in which they were made
}

// artefact is something that was made.
type artefact struct {
	kind, name string
	file       file
	key        *Key // that was made for it
	keyFile    file // without data: the key is elsewhere, or not new
	cert       *x509.Certificate
	list       *x509.RevocationList
	chain      []*x509.Certificate
	issuer     string // name; empty: itself
	findings   []string
}

// file is a file below the folder.
type file struct {
	path string
	data []byte
	mode os.FileMode
}

func (m *maker) make() error {
	m.certificates = map[string]certificate{}
	for _, e := range m.Plan.Existing {
		c := certificate{Certificate: e.Certificate, issuer: e.Issuer}
		if signer := m.existing[e.Name]; signer != nil {
			var err error
			if c.signer, err = m.keys.existing(signer); err != nil {
				return fmt.Errorf("the key of %s: %w", e.Name, err)
			}
		}
		m.certificates[e.Name] = c
	}
	for _, r := range m.Plan.Roots {
		if err := m.makeCA("root", r); err != nil {
			return fmt.Errorf("making the root %s: %w", r.Name, err)
		}
	}
	if err := m.makeIntermediates(); err != nil {
		return err
	}
	for _, x := range m.Plan.CrossCertificates {
		if err := m.makeCross(x); err != nil {
			return fmt.Errorf("making the cross-certificate %s: %w", x.Name, err)
		}
	}
	for _, s := range m.Plan.OCSPSigners {
		if err := m.makeOCSPSigner(s); err != nil {
			return fmt.Errorf("making the OCSP signer %s: %w", s.Name, err)
		}
	}
	for _, l := range m.Plan.CRLs {
		if err := m.makeCRL(l); err != nil {
			return fmt.Errorf("making the CRL %s: %w", l.Name, err)
		}
	}
	for _, c := range m.Plan.Chains {
		if err := m.makeChain(c); err != nil {
			return fmt.Errorf("making the chain %s: %w", c.Name, err)
		}
	}
	return nil
}

// makeIntermediates makes each intermediate after its issuer.
func (m *maker) makeIntermediates() error {
	left := m.Plan.Intermediates
	for len(left) > 0 {
		var later []CA
		for _, i := range left {
			if _, made := m.certificates[i.Issuer]; !made {
				later = append(later, i)
				continue
			}
			if err := m.makeCA("intermediate", i); err != nil {
				return fmt.Errorf("making the intermediate %s: %w", i.Name, err)
			}
		}
		if len(later) == len(left) {
			names := make([]string, len(left))
			for i, c := range left {
				names[i] = c.Name
			}
			return fmt.Errorf("the intermediates %s certify each other in a circle; one of them needs a root as its issuer", strings.Join(names, ", "))
		}
		left = later
	}
	return nil
}

func (m *maker) period(v Validity) (notBefore, notAfter time.Time) {
	notBefore = v.NotBefore.UTC().Truncate(time.Second)
	if v.NotBefore.IsZero() {
		notBefore = m.now
	}
	return notBefore, notBefore.Add(v.For - time.Second) // both ends are included
}

func (m *maker) makeCA(kind string, c CA) error {
	signer, err := m.keys.generate(c.Key)
	if err != nil {
		return fmt.Errorf("making its key: %w", err)
	}
	encoded, err := m.keys.encode(c.Key, signer)
	if err != nil {
		return err
	}
	t, err := m.template(c.Subject, c.Validity, c.Extensions)
	if err != nil {
		return err
	}
	made := ca.Certification{Template: t, Public: signer.Public(), Signer: signer}
	if kind == "intermediate" {
		// It may sign OCSP answers itself, should it have to.
		t.KeyUsage |= x509.KeyUsageDigitalSignature
		if made.Issuer, made.Signer, err = m.issuer(c.Issuer, t); err != nil {
			return err
		}
	}
	cert, findings, err := m.certify(made)
	if err != nil {
		return err
	}
	m.certificates[c.Name] = certificate{cert, signer, c.Issuer}
	m.artefacts = append(m.artefacts, artefact{
		kind: kind, name: c.Name, file: certificateFile(c.File, cert), key: &c.Key, keyFile: file{c.Key.File, encoded, 0o600},
		cert: cert, issuer: c.Issuer, findings: findings,
	})
	return nil
}

func (m *maker) certify(c ca.Certification) (*x509.Certificate, []string, error) {
	base := m.certification()
	c.Lint, c.Now, c.Random = base.Lint, base.Now, base.Random
	return ca.CertifyCA(c)
}

// issuer is the CA of a name, if it may issue what the template says.
func (m *maker) issuer(name string, t *x509.Certificate) (*x509.Certificate, crypto.Signer, error) {
	c := m.certificates[name]
	switch {
	case c.signer == nil:
		return nil, nil, fmt.Errorf("the key of its issuer, %s, is not at hand", name)
	case !c.IsCA || c.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, nil, fmt.Errorf("its issuer, %s, may not issue certificates", name)
	case t.NotAfter.After(c.NotAfter):
		return nil, nil, fmt.Errorf("it would be valid until %s, longer than its issuer %s (%s)", t.NotAfter.Format(time.RFC3339), name, c.NotAfter.Format(time.RFC3339))
	case t.NotBefore.Before(c.NotBefore):
		return nil, nil, fmt.Errorf("it would be valid from %s, before its issuer %s (%s)", t.NotBefore.Format(time.RFC3339), name, c.NotBefore.Format(time.RFC3339))
	case t.IsCA && c.MaxPathLenZero:
		return nil, nil, fmt.Errorf("the path length of its issuer, %s, is 0: it may issue no CA's certificate", name)
	}
	return c.Certificate, c.signer, nil
}

// template is what the certificates of CAs have in common.
func (m *maker) template(subject pkix.Name, v Validity, e Extensions) (*x509.Certificate, error) {
	t := &x509.Certificate{
		Subject: subject, IsCA: true, BasicConstraintsValid: true, MaxPathLen: -1,
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		ExtKeyUsage: e.ExtendedKeyUsages, Policies: e.Policies,
		PermittedDNSDomains: e.PermittedNames, PermittedIPRanges: e.PermittedAddresses,
	}
	t.PermittedDNSDomainsCritical = len(e.PermittedNames)+len(e.PermittedAddresses) > 0
	t.NotBefore, t.NotAfter = m.period(v)
	if e.PathLength != nil {
		t.MaxPathLen, t.MaxPathLenZero = *e.PathLength, *e.PathLength == 0
	}
	for url, field := range map[string]*[]string{e.CRLURL: &t.CRLDistributionPoints, e.OCSPURL: &t.OCSPServer, e.IssuerURL: &t.IssuingCertificateURL} {
		if url != "" {
			*field = []string{url}
		}
	}
	return t, nil
}

func (m *maker) makeCross(x Cross) error {
	of := m.certificates[x.Of]
	t, err := m.template(pkix.Name{}, x.Validity, x.Extensions)
	if err != nil {
		return err
	}
	t.RawSubject, t.SubjectKeyId = of.RawSubject, of.SubjectKeyId
	t.KeyUsage |= of.KeyUsage & x509.KeyUsageDigitalSignature
	made := ca.Certification{Template: t, Public: of.PublicKey}
	if made.Issuer, made.Signer, err = m.issuer(x.Issuer, t); err != nil {
		return err
	}
	cert, findings, err := m.certify(made)
	if err != nil {
		return err
	}
	m.certificates[x.Name] = certificate{Certificate: cert, issuer: x.Issuer}
	m.artefacts = append(m.artefacts, artefact{
		kind: "cross-certificate", name: x.Name, file: certificateFile(x.File, cert), cert: cert, issuer: x.Issuer, findings: findings,
	})
	return nil
}

func (m *maker) makeOCSPSigner(s OCSPSigner) error {
	signer, err := m.keys.generate(s.Key)
	if err != nil {
		return fmt.Errorf("making its key: %w", err)
	}
	encoded, err := m.keys.encode(s.Key, signer)
	if err != nil {
		return err
	}
	made := m.certification()
	made.Template, made.Public = &x509.Certificate{}, signer.Public()
	made.Template.NotBefore, made.Template.NotAfter = m.period(s.Validity)
	if made.Issuer, made.Signer, err = m.issuer(s.Issuer, made.Template); err != nil {
		return err
	}
	cert, findings, err := ca.CertifyOCSPSigner(made)
	if err != nil {
		return err
	}
	m.artefacts = append(m.artefacts, artefact{
		kind: "OCSP signer", name: s.Name, file: certificateFile(s.File, cert), key: &s.Key, keyFile: file{s.Key.File, encoded, 0o600},
		cert: cert, issuer: s.Issuer, findings: findings,
	})
	return nil
}

func (m *maker) makeCRL(l CRL) error {
	issuer := m.certificates[l.Issuer]
	switch {
	case issuer.signer == nil:
		return fmt.Errorf("the key of its issuer, %s, is not at hand", l.Issuer)
	case issuer.KeyUsage&x509.KeyUsageCRLSign == 0:
		return fmt.Errorf("its issuer, %s, may not sign CRLs", l.Issuer)
	}
	t := &x509.RevocationList{Number: big.NewInt(l.Number)}
	t.ThisUpdate, t.NextUpdate = m.period(l.Validity)
	for _, r := range l.Revoked {
		t.RevokedCertificateEntries = append(t.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: r.Serial.Big(), RevocationTime: r.At.UTC().Truncate(time.Second), ReasonCode: int(r.Reason),
		})
	}
	list, findings, err := m.signCRL(t, issuer)
	if err != nil {
		return err
	}
	m.artefacts = append(m.artefacts, artefact{kind: "CRL", name: l.Name, file: file{l.File, list.Raw, 0o644}, list: list, issuer: l.Issuer, findings: findings})
	return nil
}

// signCRL signs a CRL with a key that is thrown away, lints that, and then
// signs it with the issuer's.
func (m *maker) signCRL(t *x509.RevocationList, issuer certificate) (*x509.RevocationList, []string, error) {
	kind, err := key.TypeOf(issuer.signer.Public())
	if err != nil {
		return nil, nil, err
	}
	throwaway, err := key.Generate(kind, m.Random)
	if err != nil {
		return nil, nil, fmt.Errorf("making a throwaway key: %w", err)
	}
	sign := func(signer crypto.Signer) (*x509.RevocationList, error) {
		der, err := x509.CreateRevocationList(m.Random, t, issuer.Certificate, signer)
		if err != nil {
			return nil, fmt.Errorf("signing: %w", err)
		}
		return x509.ParseRevocationList(der)
	}
	tried, err := sign(throwaway)
	if err != nil {
		return nil, nil, err
	}
	findings, err := ca.LintCRL(tried.Raw)
	if err != nil {
		return nil, nil, err
	}
	list, err := sign(issuer.signer)
	if err != nil {
		return nil, nil, err
	}
	if string(list.RawTBSRevocationList) != string(tried.RawTBSRevocationList) {
		return nil, nil, errors.New("the CRL just signed is not the one that was linted")
	}
	return list, findings, nil
}

func (m *maker) makeChain(c Chain) error {
	a := artefact{kind: "chain", name: c.Name}
	var data []byte
	for i, name := range c.Certificates {
		cert := m.certificates[name].Certificate
		if i > 0 {
			before := a.chain[i-1]
			if string(before.RawIssuer) != string(cert.RawSubject) || string(before.AuthorityKeyId) != string(cert.SubjectKeyId) {
				return fmt.Errorf("%s was not issued by %s", c.Certificates[i-1], name)
			}
		}
		a.chain = append(a.chain, cert)
		data = append(data, encodeCertificate(cert)...)
	}
	a.file = file{c.File, data, 0o644}
	m.artefacts = append(m.artefacts, a)
	return nil
}

func certificateFile(path string, cert *x509.Certificate) file {
	return file{path, encodeCertificate(cert), 0o644}
}

func encodeCertificate(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: key.PEMCertificate, Bytes: cert.Raw})
}

// files are what is to be written, keys before what speaks of them.
func (m *maker) files() []file {
	var files []file
	for _, a := range m.artefacts {
		if a.keyFile.data != nil {
			files = append(files, a.keyFile)
		}
	}
	for _, a := range m.artefacts {
		files = append(files, a.file)
	}
	return files
}

// paths are the names of all files, the transcript's too.
func (m *maker) paths() []string {
	paths := []string{TranscriptFile}
	for _, a := range m.artefacts {
		paths = append(paths, a.file.path)
		if a.key != nil && a.key.File != "" {
			paths = append(paths, a.key.File)
		}
	}
	return paths
}
