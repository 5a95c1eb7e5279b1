package wfe

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/cairn-ca/cairn/internal/acme"
)

// resource is one ACME resource of a directory: what answers it, and how a
// POST to it must be signed.
type resource struct {
	dir  *directory
	path string // chi pattern
	name string // in metrics
	get  func(*request) (*response, error)
	post func(*request) (*response, error)
	auth authKind
}

// request is a request whose signature, nonce and URL were verified. For a
// GET, the parts of the JWS are empty.
type request struct {
	*http.Request
	dir *directory
	jws jws
	// account is set for requests signed with an account's key, key for those
	// that carry their key.
	account acme.Account
	key     acme.AccountKey
}

// param is a part of the path.
func (r *request) param(name string) string { return chi.URLParam(r.Request, name) }

// asGet tells whether the request is a POST-as-GET (RFC 8555 §6.3).
func (r *request) asGet() bool { return len(r.jws.payload) == 0 }

// onlyAsGet refuses requests that are no POST-as-GET.
func (r *request) onlyAsGet() error {
	if !r.asGet() {
		return acme.NewProblem(acme.Malformed, "this resource is read with a POST-as-GET request: the payload must be the empty string (RFC 8555 §6.3)")
	}
	return nil
}

// response is an answer to be written out.
type response struct {
	status     int
	location   string
	links      []string // values of Link headers
	retryAfter time.Duration
	// body is marshalled as JSON; raw is written as it stands, with its type.
	body        any
	raw         []byte
	contentType string
	noStore     bool
	// notBefore and notAfter are the certificate's, for RFC 8739 §3.3; zero:
	// not said.
	notBefore, notAfter time.Time
	nonce               string // for an answer to a GET; a POST's has one anyway
}

// handle makes the http.Handler of a resource: methods, signature and nonce
// first, then the resource's own function, then the answer.
func (w *WFE) handle(res resource) http.HandlerFunc {
	allow := allowed(res)
	index := link(res.dir.url("/directory"), "index")
	return func(rw http.ResponseWriter, r *http.Request) {
		start := w.Now()
		header := rw.Header()
		// RFC 8555 §6.1: any web page may talk to the CA.
		header.Set("Access-Control-Allow-Origin", "*")
		header.Set("Access-Control-Expose-Headers", "Link, Location, Replay-Nonce, Retry-After")
		if res.name != "directory" {
			header.Set("Link", index) // RFC 8555 §7.1
		}
		status := w.dispatch(rw, r, res, allow)
		w.metrics.observe(res.name, r.Method, status, w.Now().Sub(start))
	}
}

func allowed(res resource) string {
	methods := []string{http.MethodOptions}
	if res.post != nil {
		methods = append(methods, http.MethodPost)
	}
	if res.get != nil {
		methods = append(methods, http.MethodGet, http.MethodHead)
	}
	return strings.Join(methods, ", ")
}

func (w *WFE) dispatch(rw http.ResponseWriter, r *http.Request, res resource, allow string) int {
	if r.Method == http.MethodPost {
		// Every answer to a POST carries a nonce, refusals too (RFC 8555 §6.5).
		if err := w.addNonce(rw); err != nil {
			return w.writeError(rw, r, res.dir, err)
		}
	}
	switch {
	case r.Method == http.MethodPost && res.post != nil:
		resp, err := w.servePost(r, res)
		if err != nil {
			return w.writeError(rw, r, res.dir, err)
		}
		return w.write(rw, r, res.dir, resp)
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && res.get != nil:
		resp, err := res.get(&request{Request: r, dir: res.dir})
		if err != nil {
			return w.writeError(rw, r, res.dir, err)
		}
		return w.write(rw, r, res.dir, resp)
	case r.Method == http.MethodOptions:
		rw.Header().Set("Access-Control-Allow-Headers", "Content-Type")
		rw.Header().Set("Access-Control-Allow-Methods", allow)
		rw.Header().Set("Access-Control-Max-Age", "86400")
		rw.Header().Set("Allow", allow)
		rw.WriteHeader(http.StatusNoContent)
		return http.StatusNoContent
	}
	rw.Header().Set("Allow", allow)
	return w.writeError(rw, r, res.dir, acme.NewProblem(acme.Malformed, "this resource is not for %s requests; use %s", methodName(r.Method), allow).WithStatus(http.StatusMethodNotAllowed))
}

func methodName(method string) string {
	if len(method) > 16 {
		return "such"
	}
	return method
}

// servePost verifies a POST and has the resource answer it.
func (w *WFE) servePost(r *http.Request, res resource) (*response, error) {
	req, err := w.verify(r, res)
	if err != nil {
		return nil, err
	}
	return res.post(req)
}

func (w *WFE) write(rw http.ResponseWriter, r *http.Request, dir *directory, resp *response) int {
	header := rw.Header()
	body, contentType := resp.raw, resp.contentType
	if resp.body != nil {
		var err error
		if body, err = json.Marshal(resp.body); err != nil {
			return w.writeError(rw, r, dir, err)
		}
		contentType = "application/json"
	}
	if contentType != "" {
		header.Set("Content-Type", contentType)
	}
	if resp.location != "" {
		header.Set("Location", resp.location)
	}
	for _, l := range resp.links {
		header.Add("Link", l)
	}
	if resp.retryAfter > 0 {
		header.Set("Retry-After", seconds(resp.retryAfter))
	}
	if !resp.notBefore.IsZero() {
		header.Set("Cert-Not-Before", resp.notBefore.UTC().Format(http.TimeFormat))
		header.Set("Cert-Not-After", resp.notAfter.UTC().Format(http.TimeFormat))
	}
	if resp.nonce != "" {
		header.Set("Replay-Nonce", resp.nonce)
	}
	if resp.noStore {
		header.Set("Cache-Control", "no-store")
	}
	status := resp.status
	if status == 0 {
		status = http.StatusOK
	}
	if status != http.StatusNoContent {
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	rw.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = rw.Write(body) // the client is gone if this fails
	}
	return status
}

// seconds is a Retry-After value. Always whole seconds: some clients fail on
// the date form.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

func link(url, rel string) string { return "<" + url + `>;rel="` + rel + `"` }
