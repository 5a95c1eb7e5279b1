package wfe

import (
	"net/http"
)

// newNonce answers with a nonce in the header (RFC 8555 §7.2): HEAD with 200,
// GET with 204, never to be cached.
func (w *WFE) newNonce(r *request) (*response, error) {
	resp := &response{status: http.StatusNoContent, noStore: true}
	if r.Method != http.MethodGet {
		resp.status = http.StatusOK
	}
	if r.Method == http.MethodPost {
		return resp, r.onlyAsGet() // servePost has added the nonce
	}
	nonce, err := w.Nonces.Next()
	if err != nil {
		return nil, err
	}
	resp.nonce = nonce
	return resp, nil
}

// addNonce puts a fresh nonce into the answer.
func (w *WFE) addNonce(rw http.ResponseWriter) error {
	nonce, err := w.Nonces.Next()
	if err != nil {
		return err
	}
	rw.Header().Set("Replay-Nonce", nonce)
	return nil
}
