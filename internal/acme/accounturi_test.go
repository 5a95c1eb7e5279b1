package acme

import "testing"

// The examples of draft-ietf-acme-dns-persist-02.
func TestHashedAccountURI(t *testing.T) {
	t.Parallel()
	const prefix, thumbprint, account = "https://ca.example/account-hash/", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "https://ca.example/acct/123"
	for domain, want := range map[string]string{
		"example.com": "5SQm7n6tPh2-PlLbCKGnViTXX5z19SCN4cPGQHSk-kw",
		AnyDomain:     "NpDnSwUthQK8zCgFdefYxAdAVPnygMLbs9US6oO-5ug",
	} {
		if got := HashedAccountURI(prefix, domain, thumbprint, account); got != prefix+"sha-256/"+want {
			t.Errorf("%s: %s, want the digest %s", domain, got, want)
		}
	}
}
