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
	Profiles                map[string]string `json:"profiles,omitempty"` // draft-ietf-acme-profiles
}

// document is the directory's body; it never changes while the server runs.
func (d *directory) document() ([]byte, error) {
	body, err := json.MarshalIndent(directoryDocument{
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
		},
	}, "", "  ")
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
