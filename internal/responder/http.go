package responder

import (
	"io"
	"log"
	"net"
	"net/http"
	"strings"
)

// acmePath precedes the token in a request (RFC 8555 §8.3).
const acmePath = "/.well-known/acme-challenge/"

// SetHTTP01 makes the web server answer a token with a key authorization, for
// every Host.
func (r *Responder) SetHTTP01(token, keyAuthorization string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens[token] = keyAuthorization
}

// ClearHTTP01 forgets a token.
func (r *Responder) ClearHTTP01(token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.tokens, token)
}

// SetHTTPHandler answers the requests that are for no known token, on the web
// server and, over HTTPS, on the TLS server; nil: 404.
func (r *Responder) SetHTTPHandler(h http.Handler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.httpHandler = h
}

func (r *Responder) startHTTP() error {
	listener, err := net.Listen("tcp", or(r.config.HTTPAddr, "127.0.0.1:0"))
	if err != nil {
		return err
	}
	r.httpPort = listener.Addr().(*net.TCPAddr).Port
	r.http = &http.Server{Handler: r, ErrorLog: log.New(io.Discard, "", 0)}
	r.serving.Go(func() { _ = r.http.Serve(listener) })
	return nil
}

// ServeHTTP answers a token, or asks the handler that was set.
func (r *Responder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	token, isToken := strings.CutPrefix(req.URL.Path, acmePath)
	r.mu.RLock()
	keyAuthorization, known := r.tokens[token]
	handler := r.httpHandler
	r.mu.RUnlock()
	switch {
	case isToken && known:
		w.Header()["Content-Type"] = []string{"application/octet-stream"}
		_, _ = io.WriteString(w, keyAuthorization)
	case handler != nil:
		handler.ServeHTTP(w, req)
	default:
		http.NotFound(w, req)
	}
}
