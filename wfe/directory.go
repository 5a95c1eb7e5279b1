package wfe

import (
	"encoding/json"
	"fmt"
)

// directoryDocument is the directory object (RFC 8555 §7.1.1).
type directoryDocument struct {
	NewNonce    string        `json:"newNonce"`
	NewAccount  string        `json:"newAccount"`
	NewOrder    string        `json:"newOrder"`
	NewAuthz    string        `json:"newAuthz,omitempty"`
	RevokeCert  string        `json:"revokeCert"`
	KeyChange   string        `json:"keyChange"`
	RenewalInfo string        `json:"renewalInfo"` // RFC 9773 §4.1
	Meta        directoryMeta `json:"meta"`
}

type directoryMeta struct {
	TermsOfService          string            `json:"termsOfService,omitempty"`
	Website                 string            `json:"website,omitempty"`
	CAAIdentities           []string          `json:"caaIdentities,omitempty"`
	ExternalAccountRequired bool              `json:"externalAccountRequired,omitempty"`
	Profiles                map[string]string `json:"profiles,omitempty"`               // draft-ietf-acme-profiles
	SubdomainAuthAllowed    bool              `json:"subdomainAuthAllowed,omitempty"`   // RFC 9444 §4.1
	AutoRenewal             *autoRenewalMeta  `json:"auto-renewal,omitempty"`           // RFC 8739 §3.2
	InBandOnionCAARequired  bool              `json:"inBandOnionCAARequired,omitempty"` // RFC 9799 §6.4.1
	IssuerDomainNames       []string          `json:"issuerDomainNames,omitempty"`      // draft-ietf-acme-dns-persist
	AccountHashPrefix       string            `json:"accountHashPrefix,omitempty"`
}

type autoRenewalMeta struct {
	MinLifetime         int64 `json:"min-lifetime"` // seconds
	MaxDuration         int64 `json:"max-duration"` // seconds
	AllowCertificateGet bool  `json:"allow-certificate-get,omitempty"`
}

// document is the directory's body; it never changes while the server runs.
func (d *directory) document() ([]byte, error) {
	doc := directoryDocument{
		NewNonce:    d.url("/new-nonce"),
		NewAccount:  d.url("/new-account"),
		NewOrder:    d.url("/new-order"),
		RevokeCert:  d.url("/revoke-cert"),
		KeyChange:   d.url("/key-change"),
		RenewalInfo: d.url("/renewal-info"),
		Meta: directoryMeta{
			TermsOfService:          d.TermsOfService,
			Website:                 d.Website,
			CAAIdentities:           d.CAAIdentities,
			ExternalAccountRequired: d.ExternalAccountRequired,
			Profiles:                d.Profiles,
			SubdomainAuthAllowed:    d.Subdomains,
			InBandOnionCAARequired:  d.OnionServices,
		},
	}
	if d.PreAuthorization {
		doc.NewAuthz = d.url("/new-authz")
	}
	if a := d.AutoRenewal; a != nil {
		doc.Meta.AutoRenewal = &autoRenewalMeta{wholeSeconds(a.MinLifetime), wholeSeconds(a.MaxDuration), a.AllowGet}
	}
	if p := d.DNSPersist; p != nil {
		doc.Meta.IssuerDomainNames, doc.Meta.AccountHashPrefix = p.AdvertisedNames, p.AccountHashPrefix
	}
	body, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the directory %q: %w", d.Name, err)
	}
	return append(body, '\n'), nil
}

// directory answers GET and POST-as-GET of the directory (RFC 8555 §7.1.1,
// §6.3).
func (w *WFE) directory(r *request) (*response, error) {
	if err := r.onlyAsGet(); err != nil {
		return nil, err
	}
	return &response{raw: r.dir.body, contentType: "application/json"}, nil
}
