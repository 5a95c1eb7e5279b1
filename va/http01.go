package va

import (
	"context"
	"io"
	"net/http"

	"github.com/cairn-ca/cairn/internal/acme"
)

// maxRedirects is how many redirects http-01 follows.
const maxRedirects = 10

// http01 is RFC 8555 §8.3, for IP addresses RFC 8738 §7.
type http01 struct{ *VA }

func (http01) unfit(id acme.Identifier, wildcard bool) string {
	switch {
	case wildcard:
		return "http-01 can't prove control of a wildcard name; respond to dns-01"
	case id.Type() != acme.IdentifierDNS && id.Type() != acme.IdentifierIP:
		return "http-01 proves control of DNS names and IP addresses only"
	}
	return ""
}

func (m http01) prove(ctx context.Context, t *try) *failure {
	at := m.firstHop(t)
	visited := map[string]bool{at.url.String(): true}
	for redirects := 0; ; redirects++ {
		next, fail := m.visit(ctx, t, at)
		if fail != nil || next == nil {
			return fail
		}
		url := next.url.String()
		switch {
		case redirects == maxRedirects:
			return wrong(acme.IncorrectResponse, "%s is redirected more than %d times, the last time by %s to %s", at.first, maxRedirects, next.from, quote(url))
		case visited[url]:
			return wrong(acme.IncorrectResponse, "%s is redirected in a loop: %s leads to %s a second time", at.first, next.from, quote(url))
		}
		visited[url] = true
		at = *next
	}
}

// visit asks for one URL. It returns where to go next, or nil when the answer
// is right.
func (m http01) visit(ctx context.Context, t *try, at hop) (*hop, *failure) {
	conn, fail := m.connect(ctx, t, at.target)
	if fail != nil {
		if at.url.String() != at.first {
			fail.problem.Detail = "following a redirect of " + at.first + " to " + quote(at.url.String()) + ": " + fail.problem.Detail
		}
		return nil, fail
	}
	defer conn.Close()
	answer, fail := fetch(ctx, conn, at, m.UserAgent)
	if fail != nil {
		t.step("%s at %s: %s", quote(at.url.String()), conn.remote, fail.problem.Detail)
		return nil, fail
	}
	t.step("%s at %s: status %d", quote(at.url.String()), conn.remote, answer.StatusCode)

	switch answer.StatusCode {
	case http.StatusOK:
		return nil, t.compare(at, conn, answer.Body)
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		next, reason := m.redirect(at, answer.Header.Values("Location"))
		if reason != "" {
			return nil, wrong(acme.IncorrectResponse, "%s answered %s with a redirect to %s: %s", conn.remote, at, quote(answer.Header.Get("Location")), reason)
		}
		next.from = conn.remote
		return &next, nil
	}
	seen := bodyStart(answer.Body)
	return nil, wrong(acme.Unauthorized, "%s answered %s with status %d, not 200: %s", conn.remote, at, answer.StatusCode, quote(seen))
}

// compare compares the body with the key authorization.
func (t *try) compare(at hop, conn *connection, body io.Reader) *failure {
	same, seen, err := matchBody(body, t.keyAuthorization)
	switch {
	case err != nil:
		return broken(at, conn, "reading the answer", err)
	case !same:
		return wrong(acme.Unauthorized, "%s answered %s with %s; it must be the key authorization %s", conn.remote, at, quote(seen), quote(t.keyAuthorization))
	}
	return nil
}
