package rpc

import (
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc/acmepb"
)

// EncodeAccount is the message of an account.
func EncodeAccount(a acme.Account) *acmepb.Account {
	return &acmepb.Account{
		Id:                     EncodeID(a.ID),
		Directory:              a.Directory,
		Status:                 string(a.Status),
		Key:                    a.Key.JSON(),
		Contacts:               a.Contacts,
		TermsOfService:         a.TermsOfService,
		ExternalAccountBinding: a.ExternalAccountBinding,
		ExternalKeyId:          a.ExternalKeyID,
		CreatedAt:              EncodeTime(a.CreatedAt),
	}
}

// Account reads an account that must be there.
func (d *Decoder) Account(field string, m *acmepb.Account) acme.Account {
	return DecodeMessage(d, field, m, decodeAccount)
}

// OptionalAccount reads an account that may be missing.
func (d *Decoder) OptionalAccount(field string, m *acmepb.Account) *acme.Account {
	return DecodeOptional(d, field, m, decodeAccount)
}

func decodeAccount(d *Decoder, m *acmepb.Account) acme.Account {
	return acme.Account{
		ID:                     d.ID("id", m.Id),
		Directory:              m.Directory,
		Status:                 acme.AccountStatus(m.Status),
		Key:                    d.AccountKey("key", m.Key),
		Contacts:               m.Contacts,
		TermsOfService:         m.TermsOfService,
		ExternalAccountBinding: m.ExternalAccountBinding,
		ExternalKeyID:          m.ExternalKeyId,
		CreatedAt:              d.Time("created_at", m.CreatedAt),
	}
}

// AccountKey reads a JWK in its canonical form.
func (d *Decoder) AccountKey(field, jwk string) acme.AccountKey {
	key, err := acme.ParseAccountKey([]byte(jwk))
	switch {
	case err != nil:
		d.Fail(field, "%v", err)
	case key.JSON() != jwk:
		d.Fail(field, "the JWK is not canonical")
		return acme.AccountKey{}
	}
	return key
}
