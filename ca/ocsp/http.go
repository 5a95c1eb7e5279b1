package ocsp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"time"
)

// ServeHTTP answers POST and GET (RFC 6960 appendix A.1). What is wrong with a
// request is said in the OCSP response, with HTTP status 200; other methods get
// 405.
//
// The request in a GET's path may hold "//": the responder must not stand
// behind a multiplexer that cleans paths, as http.ServeMux does.
func (r *Responder) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	switch req.Method {
	case http.MethodPost:
		r.post(rw, req)
	case http.MethodGet, http.MethodHead:
		r.get(rw, req)
	default:
		rw.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(rw, "OCSP requests are POST or GET", http.StatusMethodNotAllowed)
	}
}

func (r *Responder) post(rw http.ResponseWriter, req *http.Request) {
	// One octet more than is accepted: the parser tells what is too long.
	der, err := io.ReadAll(io.LimitReader(req.Body, maxRequest+1))
	var a answer
	if err != nil {
		a = failed(malformedRequest)
	} else {
		a = r.answer(req.Context(), der)
	}
	rw.Header().Set("Content-Type", "application/ocsp-response")
	rw.Header().Set("Cache-Control", "no-store")
	rw.Header().Set("Content-Length", fmt.Sprint(len(a.der)))
	_, _ = rw.Write(a.der) // the client has gone
}

func (r *Responder) get(rw http.ResponseWriter, req *http.Request) {
	var a answer
	if readings := decodePath(req.URL.EscapedPath(), r.Path); len(readings) > 0 {
		a = r.answer(req.Context(), r.likeliest(req.Context(), readings))
	} else {
		a = failed(malformedRequest)
		r.metrics.answers.WithLabelValues(label(a)).Inc()
	}
	h := rw.Header()
	h.Set("Content-Type", "application/ocsp-response")
	if a.private {
		h.Set("Cache-Control", "no-store")
		http.ServeContent(rw, req, "", time.Time{}, bytes.NewReader(a.der))
		return
	}
	// RFC 5019 §6.2. Caches drop it when it is due for renewal here.
	age := max(0, min(a.renewAt.Sub(r.Now()), r.MaxAge)) / time.Second
	sum := sha256.Sum256(a.der)
	h.Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	h.Set("Expires", a.nextUpdate.UTC().Format(http.TimeFormat))
	h.Set("Cache-Control", fmt.Sprintf("max-age=%d, public, no-transform, must-revalidate", age))
	http.ServeContent(rw, req, "", a.thisUpdate, bytes.NewReader(a.der))
}
