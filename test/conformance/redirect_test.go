package conformance

import (
	"io"
	"net"
	"net/http"
	"path"
	"sync"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/responder"
	"github.com/cairn-ca/cairn/test/harness"
)

var (
	truncated     = responder.Failure{Truncated: true}
	serverFailure = responder.Failure{Rcode: dns.RcodeServerFailure}
)

// redirect answers one token by a redirect and, where that leads, with the
// content.
type redirect struct{ from, to, content string }

var (
	redirects     sync.Map // by token
	redirectsOnly sync.Once
)

// redirectsOnce has the shared responder follow redirects; it has one handler
// for all tests.
func redirectsOnce(s *harness.Server) {
	redirectsOnly.Do(func() {
		s.Names.SetHTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			known, ok := redirects.Load(path.Base(req.URL.Path))
			if !ok {
				http.NotFound(w, req)
				return
			}
			r := known.(redirect)
			host, _, err := net.SplitHostPort(req.Host)
			if err != nil {
				host = req.Host
			}
			if host == r.from {
				http.Redirect(w, req, r.to, http.StatusFound)
				return
			}
			_, _ = io.WriteString(w, r.content)
		}))
	})
}
