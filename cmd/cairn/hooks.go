package main

import (
	"context"
	"crypto/tls"
	"net/http"
	"time"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/sa"
	"github.com/cairn-ca/cairn/va"
	"github.com/cairn-ca/cairn/wfe"
)

// hooks are the places where test mode changes what cairn serve is made of. A
// CA has none: each is nil, and changes nothing.
type hooks struct {
	// hierarchy makes the roots and the issuer, in place of those in the data
	// folder.
	hierarchy func(*instance) (*ca.Hierarchy, error)
	// signing changes what the signing authority works with.
	signing func(*ca.Config)
	// store wraps what registration stores with, and prepares it.
	store func(context.Context, sa.Store) (sa.Store, error)
	// validation wraps the validation authority; tryTime is how much longer a
	// try may take then.
	validation func(va.Authority) va.Authority
	tryTime    time.Duration
	// front makes the front end, and management wraps the admin listener's
	// handler.
	front      func(wfe.Config) (http.Handler, error)
	management func(http.Handler, sa.Store) http.Handler
	// certificate is the HTTPS listeners', in place of the CA's own.
	certificate *tls.Certificate
	// names are further names of the HTTPS listeners.
	names []string
}
