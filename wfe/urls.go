package wfe

import (
	"strconv"

	"github.com/cairn-ca/cairn/internal/acme"
)

// url is the URL of a resource of the directory, given its path below the
// base; "/directory" is the directory itself.
func (d *directory) url(path string) string {
	if path == "/directory" {
		return d.base[:len(d.base)-len("/acme")] + path
	}
	return d.base + path
}

func (d *directory) accountURL(id acme.ID) string  { return d.base + "/acct/" + id.String() }
func (d *directory) ordersURL(id acme.ID) string   { return d.accountURL(id) + "/orders" }
func (d *directory) orderURL(id acme.ID) string    { return d.base + "/order/" + id.String() }
func (d *directory) finalizeURL(id acme.ID) string { return d.orderURL(id) + "/finalize" }

// starURL is the stable URL of a certificate that renews itself.
func (d *directory) starURL(id acme.ID) string { return d.base + "/star/" + id.String() }

func (d *directory) authorizationURL(id acme.ID) string { return d.base + "/authz/" + id.String() }

func (d *directory) challengeURL(authz acme.ID, t acme.ChallengeType) string {
	return d.base + "/chall/" + authz.String() + "/" + string(t)
}

// certificateURL is the URL of a certificate with its chain of the given
// index; 0 is the preferred one.
func (d *directory) certificateURL(serial acme.Serial, chain int) string {
	url := d.base + "/cert/" + serial.String()
	if chain > 0 {
		url += "/" + strconv.Itoa(chain)
	}
	return url
}
