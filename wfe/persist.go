package wfe

import (
	"fmt"
	"slices"

	"github.com/cairn-ca/cairn/internal/acme"
)

// DNSPersist is what the clients of a directory need to make records of
// dns-persist-01 (draft-ietf-acme-dns-persist).
type DNSPersist struct {
	// IssuerDomainNames are those in challenges, AdvertisedNames those in the
	// directory's metadata.
	IssuerDomainNames, AdvertisedNames []string
	// AccountHashPrefix is what hashed account URIs begin with.
	AccountHashPrefix string
	// AccountURLs tells that records may name an account by its URL.
	AccountURLs bool
}

// persistMembers are the members of dns-persist-01 challenges alone.
type persistMembers struct {
	IssuerDomainNames []string `json:"issuerDomainNames,omitempty"`
	// Clients of draft-ietf-acme-dns-persist-01 look for these, and write the
	// accounturi into their record as it stands.
	FormerIssuerDomainNames []string `json:"issuer-domain-names,omitempty"`
	AccountURI              string   `json:"accounturi,omitempty"`
}

// addPersist gives those of the challenges that are dns-persist-01 what their
// clients need.
func (w *WFE) addPersist(r *request, challenges []challengeDocument) error {
	i := slices.IndexFunc(challenges, func(c challengeDocument) bool { return c.Type == acme.DNSPersist01 })
	if i < 0 || r.dir.DNSPersist == nil {
		return nil
	}
	names := r.dir.DNSPersist.IssuerDomainNames
	uri, err := w.persistAccountURI(r)
	if err != nil {
		return err
	}
	challenges[i].persistMembers = persistMembers{names, names, uri}
	return nil
}

// persistAccountURI is a URI of the account that its records are accepted
// with, the same for as long as the account lives: clients of the -01 draft
// look for a record that has it. The oldest key makes it so, as records with
// any of the account's keys are good.
func (w *WFE) persistAccountURI(r *request) (string, error) {
	url := r.dir.accountURL(r.account.ID)
	if r.dir.DNSPersist.AccountURLs {
		return url, nil
	}
	keys, err := w.Store.AccountKeys(r.Context(), r.account.ID)
	if err != nil {
		return "", fmt.Errorf("reading the keys of account %s: %w", r.account.ID, err)
	}
	if len(keys) == 0 {
		return "", nil // deactivated in the meantime: nothing is accepted
	}
	oldest := slices.MinFunc(keys, func(a, b acme.UsedKey) int { return a.Since.Compare(b.Since) })
	return acme.HashedAccountURI(r.dir.DNSPersist.AccountHashPrefix, acme.AnyDomain, oldest.Thumbprint, url), nil
}
