package acme

import (
	"crypto/sha256"
	"encoding/base64"
)

// AnyDomain stands for the domain in a hashed account URI that is to serve
// for every domain (draft-ietf-acme-dns-persist-02).
const AnyDomain = "*"

// HashedAccountURI is the URI by which a dns-persist-01 record for domain
// names an account, without telling which one it is
// (draft-ietf-acme-dns-persist-02). The domain is the one that the record is
// for, in its canonical form, or AnyDomain; the thumbprint that of a key of
// the account; the prefix the directory's accountHashPrefix.
func HashedAccountURI(prefix, domain, thumbprint, accountURL string) string {
	input := make([]byte, 0, 1+len(domain)+len(thumbprint)+len(accountURL))
	input = append(input, byte(len(domain))) // at most 253
	input = append(input, domain...)
	input = append(input, thumbprint...)
	input = append(input, accountURL...)
	digest := sha256.Sum256(input)
	return prefix + "sha-256/" + base64.RawURLEncoding.EncodeToString(digest[:])
}
