package wfe

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/cairn-ca/cairn/internal/acme"
)

// problemDocument is a problem on the wire (RFC 9457, RFC 8555 §6.7).
type problemDocument struct {
	Type        string              `json:"type"`
	Detail      string              `json:"detail"`
	Status      int                 `json:"status,omitempty"`
	Instance    string              `json:"instance,omitempty"`
	Algorithms  []string            `json:"algorithms,omitempty"`
	Identifier  *identifierDocument `json:"identifier,omitempty"`
	Subproblems []problemDocument   `json:"subproblems,omitempty"`
}

func newProblemDocument(p *acme.Problem) *problemDocument {
	if p == nil {
		return nil
	}
	doc := problemDocument{
		Type: acme.ProblemNamespace + string(p.Type), Detail: p.Detail, Status: p.HTTPStatus(),
		Instance: p.Instance, Algorithms: p.Algorithms,
	}
	if p.Identifier != nil {
		id := newIdentifierDocument(*p.Identifier)
		doc.Identifier = &id
	}
	for i := range p.Subproblems {
		sub := newProblemDocument(&p.Subproblems[i])
		sub.Status = 0
		doc.Subproblems = append(doc.Subproblems, *sub)
	}
	return &doc
}

// writeError writes an error as a problem document and returns its status. It
// is the one place where errors that no client should see become
// serverInternal; these are logged in full.
// dir is the directory that was asked; nil: none was.
func (w *WFE) writeError(rw http.ResponseWriter, r *http.Request, dir *directory, err error) int {
	var problem *acme.Problem
	if !errors.As(err, &problem) {
		problem = acme.NewProblem(acme.ServerInternal, "something went wrong inside the CA; try again, and tell its operator if that does not help")
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			problem = acme.NewProblem(acme.ServerInternal, "the CA did not come to an answer in time; try again").WithStatus(http.StatusServiceUnavailable)
			problem.RetryAfter = retryAfter
		}
	}
	level := slog.LevelDebug
	if problem.Type == acme.ServerInternal {
		level = slog.LevelError
	}
	w.Logger.LogAttrs(r.Context(), level, "request refused",
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.String("client", r.RemoteAddr), slog.Any("error", err))

	header := rw.Header()
	if problem.RetryAfter > 0 {
		header.Set("Retry-After", seconds(problem.RetryAfter))
	}
	if problem.Type == acme.UserActionRequired && problem.Instance != "" {
		header.Add("Link", link(problem.Instance, "terms-of-service")) // RFC 8555 §7.3.3
	}
	if !problem.Account.IsZero() && dir != nil {
		header.Set("Location", dir.accountURL(problem.Account)) // RFC 8555 §7.3.5
	}
	body, err := json.Marshal(newProblemDocument(problem))
	if err != nil {
		body = []byte(`{}`) // strings and numbers always marshal
	}
	header.Set("Content-Type", "application/problem+json")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	status := problem.HTTPStatus()
	rw.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = rw.Write(body)
	}
	return status
}
