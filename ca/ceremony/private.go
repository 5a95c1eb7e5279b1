package ceremony

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/ca/key"
)

// PrivateCA is the hierarchy of a private CA: a root, and an intermediate that
// issues.
type PrivateCA struct {
	Organization string
	KeyType      key.Type
	// RootPassphrase and IssuerPassphrase encrypt the keys; nil: a key is not
	// encrypted.
	RootPassphrase, IssuerPassphrase key.Passphrase
	Now                              time.Time
	Random                           io.Reader
}

const (
	privateRootValidity         = 25 * 365 * 24 * time.Hour
	privateIntermediateValidity = 10 * 365 * 24 * time.Hour
	// backdate is for relying parties whose clocks are late.
	backdate = time.Hour
)

// Plan is the plan that makes it in a data folder, for `cairn serve`.
func (c PrivateCA) Plan() (Plan, error) {
	// Two hierarchies that were made apart must not share a name: chains
	// would be built across them.
	var mark [4]byte
	if _, err := io.ReadFull(c.Random, mark[:]); err != nil {
		return Plan{}, fmt.Errorf("naming the CAs: %w", err)
	}
	subject := func(what string) pkix.Name {
		return pkix.Name{Organization: []string{c.Organization}, CommonName: commonName(c.Organization, what+" "+hex.EncodeToString(mark[:]))}
	}
	anyPolicy, err := x509.ParseOID("2.5.29.32.0")
	if err != nil {
		return Plan{}, fmt.Errorf("encoding anyPolicy: %w", err)
	}
	none := 0
	from := c.Now.Add(-backdate)
	return Plan{
		Lint: ca.PrivateCALints(),
		Roots: []CA{{
			Name: "root", File: ca.RootFile, Subject: subject("Root CA"),
			Key:      Key{Type: c.KeyType, File: path.Clean(ca.RootKeyFile), Passphrase: c.RootPassphrase},
			Validity: Validity{NotBefore: from, For: privateRootValidity},
		}},
		Intermediates: []CA{{
			Name: "intermediate", File: ca.ChainFile, Subject: subject("Intermediate CA"), Issuer: "root",
			Key:      Key{Type: c.KeyType, File: path.Clean(ca.IssuerKeyFile), Passphrase: c.IssuerPassphrase},
			Validity: Validity{NotBefore: from, For: privateIntermediateValidity},
			Extensions: Extensions{
				PathLength:        &none,
				ExtendedKeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
				Policies:          []x509.OID{anyPolicy},
			},
		}},
	}, nil
}

// maxCommonName is the bound of RFC 5280 Appendix A.1 (ub-common-name), in
// characters.
const maxCommonName = 64

// commonName joins an organization's name, cut where it is too long, and what
// the CA is.
func commonName(organization, what string) string {
	runes := []rune(organization)
	if room := maxCommonName - len([]rune(what)) - 1; len(runes) > room {
		runes = runes[:room]
	}
	return strings.TrimSpace(string(runes)) + " " + what
}
