package wfe

import (
	"crypto/x509"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/ra"
)

// revokeCert asks for a revocation (RFC 8555 §7.6), signed with an account's
// key or with the certificate's own.
func (w *WFE) revokeCert(r *request) (*response, error) {
	var payload struct {
		Certificate string                 `json:"certificate"`
		Reason      *acme.RevocationReason `json:"reason"`
	}
	if err := readPayload(r, &payload); err != nil {
		return nil, err
	}
	der, err := decodeBase64(payload.Certificate)
	if err != nil || len(der) == 0 {
		return nil, malformed("\"certificate\" must be the base64url of the certificate in DER, without padding")
	}
	revoke := ra.RevokeCertificate{Directory: r.dir.Name, DER: der, Reason: payload.Reason}
	if r.jws.header.KID != nil {
		revoke.Account = &r.account
	} else {
		if err := hasKey(der, r.key); err != nil {
			return nil, err
		}
		revoke.ByKey = true
	}
	return &response{}, w.RA.RevokeCertificate(r.Context(), revoke)
}

// hasKey checks that a certificate has the key that signed the request.
func hasKey(der []byte, key acme.AccountKey) error {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return malformed("\"certificate\" is not a certificate in DER")
	}
	certKey, err := acme.AccountKeyOf(cert.PublicKey)
	if err != nil || certKey.Thumbprint() != key.Thumbprint() {
		return acme.NewProblem(acme.Unauthorized, "the request is signed with a key that is not the certificate's; sign with the account's key or with the certificate's")
	}
	return nil
}
