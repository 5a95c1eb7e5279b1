// Package wfe is the web front end: the only package that speaks ACME over
// HTTP. It verifies and parses requests, asks the registration authority for
// decisions, reads what may be read, and writes answers, in RFC 8555's terms.
//
// There is one file for each resource. A handler takes a *request, which is
// verified already, and returns a response or an error; problem.go is where
// errors become problem documents.
package wfe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/ra"
	"github.com/cairn-ca/cairn/wfe/nonce"
)

// Reader is what the front end reads from the store. Reads change nothing
// and decide nothing.
type Reader interface {
	Account(ctx context.Context, id acme.ID) (acme.Account, error)
	AccountKeys(ctx context.Context, account acme.ID) ([]acme.UsedKey, error)
	Order(ctx context.Context, id acme.ID) (acme.Order, error)
	Orders(ctx context.Context, page OrderPage) ([]acme.ID, error)
	Authorization(ctx context.Context, id acme.ID) (acme.Authorization, error)
	Certificate(ctx context.Context, serial acme.Serial) (acme.Certificate, error)
	Issuer(ctx context.Context, id acme.IssuerID) (acme.Issuer, error)
	RenewalOrder(ctx context.Context, cert acme.Certificate) (RenewalOrder, error)
}

// Nonces makes and redeems nonces (RFC 8555 §6.5), as *nonce.Service does.
type Nonces interface {
	// Next is a fresh nonce, in base64url.
	Next() (string, error)
	// Redeem tells whether the nonce was made here and is redeemed for the
	// first time.
	Redeem(nonce string) bool
}

var _ Nonces = (*nonce.Service)(nil)

// Config is what a front end works with. Every field is needed unless its
// comment says otherwise.
type Config struct {
	RA     ra.Authority
	Store  Reader
	Nonces Nonces

	Directories []Directory
	// ExternalURL is the base of every URL in an answer, without a trailing
	// slash. The Host header of requests is never used for it.
	ExternalURL string
	// AccountTTL is how long an account that was read may be relied on
	// without reading it again; 0: not at all. Changes through this front end
	// show at once.
	AccountTTL time.Duration
	// OrdersPerPage is the length of a page of an account's orders.
	OrdersPerPage int

	Now     func() time.Time
	Logger  *slog.Logger
	Metrics prometheus.Registerer // may be nil
}

// Directory is one ACME directory (RFC 8555 §7.1.1).
type Directory struct {
	Name string
	// Path ends in "/directory"; the directory's resources are below what
	// comes before.
	Path           string
	TermsOfService string // URL; empty: none
	Website        string // URL; empty: none
	CAAIdentities  []string
	// Profiles maps the name of each profile to a description or a URL.
	Profiles                map[string]string
	ExternalAccountRequired bool
	// PreAuthorization shows newAuthz (RFC 8555 §7.4.1).
	PreAuthorization bool
	// Subdomains is the directory's subdomainAuthAllowed (RFC 9444 §4.1).
	Subdomains bool
	// OnionServices says that the directory issues for onion services, and so
	// needs their CAA records with finalize requests (RFC 9799 §6.4.1).
	OnionServices bool
	// AutoRenewal is what the directory says of RFC 8739; nil: nothing.
	AutoRenewal *ra.AutoRenewalPolicy
	// DNSPersist is what clients need for dns-persist-01; nil: it is not
	// offered.
	DNSPersist *DNSPersist
}

// WFE is the front end, an http.Handler.
type WFE struct {
	Config
	router   chi.Router
	accounts *accountCache
	issuers  sync.Map // acme.IssuerID to *cachedIssuer
	metrics  metrics
}

// directory is a Directory with its URLs.
type directory struct {
	Directory
	base string // such as https://ca.example/acme
	body []byte // of the directory resource
}

const (
	maxBody    = 64 << 10 // octets of a request's body
	retryAfter = 3 * time.Second
)

// New makes a front end.
func New(cfg Config) (*WFE, error) {
	w := &WFE{Config: cfg, accounts: newAccountCache(cfg.AccountTTL, cfg.Now)}
	if w.OrdersPerPage <= 0 {
		w.OrdersPerPage = 50
	}
	var err error
	if w.metrics, err = newMetrics(cfg.Metrics); err != nil {
		return nil, err
	}
	if len(cfg.Directories) == 0 {
		return nil, errors.New("a front end needs a directory")
	}
	router := chi.NewRouter()
	router.NotFound(w.notFound)
	for _, d := range cfg.Directories {
		dir, err := w.newDirectory(d)
		if err != nil {
			return nil, err
		}
		w.mount(router, dir)
	}
	w.router = router
	return w, nil
}

// AccountURL is the URL of an account in a directory with the given path. It
// never changes: dns-account-01, dns-persist-01 and CAA accounturi compare it
// byte by byte.
func AccountURL(externalURL, directoryPath string, account acme.ID) string {
	return resourceBase(externalURL, directoryPath) + "/acct/" + account.String()
}

// AccountHashPrefix is what the hashed account URIs of a directory with the
// given path begin with, unless the configuration says otherwise.
func AccountHashPrefix(externalURL, directoryPath string) string {
	return resourceBase(externalURL, directoryPath) + "/account-hash/"
}

func resourceBase(externalURL, directoryPath string) string {
	return externalURL + strings.TrimSuffix(directoryPath, "/directory") + "/acme"
}

func (w *WFE) newDirectory(d Directory) (*directory, error) {
	if !strings.HasPrefix(d.Path, "/") || !strings.HasSuffix(d.Path, "/directory") {
		return nil, fmt.Errorf("the path %q of directory %q must begin with a slash and end in /directory", d.Path, d.Name)
	}
	dir := &directory{Directory: d, base: resourceBase(w.ExternalURL, d.Path)}
	var err error
	dir.body, err = dir.document()
	return dir, err
}

// mount registers the resources of a directory.
func (w *WFE) mount(router chi.Router, dir *directory) {
	prefix := strings.TrimSuffix(dir.Path, "/directory") + "/acme"
	for _, res := range []resource{
		{path: dir.Path, name: "directory", get: w.directory, post: w.directory, auth: byAccount},
		{path: prefix + "/new-nonce", name: "new-nonce", get: w.newNonce, post: w.newNonce, auth: byAccount},
		{path: prefix + "/new-account", name: "new-account", post: w.newAccount, auth: byJWK},
		{path: prefix + "/acct/{id}", name: "account", post: w.account, auth: byAccount},
		{path: prefix + "/acct/{id}/orders", name: "orders", post: w.orders, auth: byAccount},
		{path: prefix + "/key-change", name: "key-change", post: w.keyChange, auth: byAccount},
		{path: prefix + "/new-order", name: "new-order", post: w.newOrder, auth: byAccount},
		{path: prefix + "/order/{id}", name: "order", post: w.order, auth: byAccount},
		{path: prefix + "/order/{id}/finalize", name: "finalize", post: w.finalize, auth: byAccount},
		{path: prefix + "/authz/{id}", name: "authorization", post: w.authorization, auth: byAccount},
		{path: prefix + "/chall/{id}/{type}", name: "challenge", post: w.challenge, auth: byAccount},
		{path: prefix + "/cert/{serial}", name: "certificate", post: w.certificate, auth: byAccount},
		{path: prefix + "/cert/{serial}/{chain}", name: "certificate", post: w.certificate, auth: byAccount},
		{path: prefix + "/new-authz", name: "new-authz", post: w.newAuthorization, auth: byAccount},
		{path: prefix + "/star/{id}", name: "star-certificate", get: w.starCertificate, post: w.starCertificate, auth: byAccount},
		{path: prefix + "/renewal-info/{certid}", name: "renewal-info", get: w.renewalInfo},
		{path: prefix + "/revoke-cert", name: "revoke-cert", post: w.revokeCert, auth: byAccountOrJWK},
	} {
		if res.name == "new-authz" && !dir.PreAuthorization || res.name == "star-certificate" && dir.AutoRenewal == nil {
			continue // not there, as the directory says
		}
		res.dir = dir
		router.Handle(res.path, w.handle(res))
	}
}

var _ http.Handler = (*WFE)(nil)

// ServeHTTP implements http.Handler.
func (w *WFE) ServeHTTP(rw http.ResponseWriter, r *http.Request) { w.router.ServeHTTP(rw, r) }

func (w *WFE) notFound(rw http.ResponseWriter, r *http.Request) {
	start := w.Now()
	rw.Header().Set("Access-Control-Allow-Origin", "*")
	if r.Method == http.MethodPost {
		_ = w.addNonce(rw) // the answer is an error in any case
	}
	w.writeError(rw, r, nil, acme.NewProblem(acme.Malformed, "there is no resource at this path; start from the directory").WithStatus(http.StatusNotFound))
	w.metrics.observe("unknown", r.Method, http.StatusNotFound, w.Now().Sub(start))
}

// clientAddr is the address that a request came from; invalid if unknown.
func clientAddr(r *http.Request) netip.Addr {
	addrPort, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return addrPort.Addr().Unmap()
}

// readBody reads a request's body, maxBody octets at most.
func readBody(r *http.Request) ([]byte, error) {
	tooLarge := acme.NewProblem(acme.Malformed, "the request body is larger than %d octets", maxBody).WithStatus(http.StatusRequestEntityTooLarge)
	if r.ContentLength > maxBody {
		return nil, tooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, acme.NewProblem(acme.Malformed, "the request body could not be read to its end")
	case len(body) > maxBody:
		return nil, tooLarge
	}
	return body, nil
}
