package va

import (
	"bufio"
	"bytes"
	"context"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/cairn-ca/cairn/internal/acme"
)

const (
	// maxHeader is how many octets the status line and the headers may have.
	maxHeader = 64 << 10
	// maxBody is how long the answer may be: a key authorization and white
	// space.
	maxBody = 128 << 10
	// maxOnWire bounds what is read of an answer, framing included.
	maxOnWire = 2 * maxBody
	// maxInterim is how many 1xx answers may precede the answer.
	maxInterim = 5
)

// fetch asks for a URL over a connection that was made to its host. The
// caller closes the connection; the body can't be read after that.
func fetch(ctx context.Context, conn *connection, at hop, userAgent string) (*http.Response, *failure) {
	var stream net.Conn = conn
	if at.url.Scheme == "https" {
		// Who answers is not in question (RFC 8555 §8.3): the certificate may
		// be the one that is about to be replaced.
		secure := tls.Client(conn, &tls.Config{
			ServerName: at.target.host, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS10,
		})
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, handshakeFailure(conn, at.String(), err)
		}
		stream = secure
	}
	request := "GET " + at.url.RequestURI() + " HTTP/1.1\r\nHost: " + at.url.Host + "\r\nUser-Agent: " + userAgent +
		"\r\nAccept: */*\r\nConnection: close\r\n\r\n"
	if _, err := io.WriteString(stream, request); err != nil {
		return nil, broken(at, conn, "asking", err)
	}
	limited := &io.LimitedReader{R: stream, N: maxHeader}
	buffered := bufio.NewReader(limited)
	for range maxInterim {
		answer, err := http.ReadResponse(buffered, &http.Request{Method: http.MethodGet})
		switch {
		case err != nil && limited.N <= 0:
			return nil, wrong(acme.IncorrectResponse, "%s answered %s with headers of more than %d octets", conn.remote, at, maxHeader)
		case err != nil:
			return nil, broken(at, conn, "reading the answer", err)
		case answer.StatusCode >= 200 || answer.StatusCode < 100 || answer.StatusCode == http.StatusSwitchingProtocols:
			limited.N = maxOnWire
			return answer, nil
		}
	}
	return nil, wrong(acme.IncorrectResponse, "%s answered %s with more than %d interim answers", conn.remote, at, maxInterim)
}

// broken is the failure of an exchange that did not come to its end.
func broken(at hop, conn *connection, doing string, err error) *failure {
	var netErr net.Error
	switch {
	case isTimeout(err), errors.As(err, &netErr), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		cause := networkCause(err)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			cause = "the connection ended early"
		}
		return unreached(acme.Connection, "%s for %s from %s: %s", doing, at, conn.remote, cause)
	case errors.Is(err, errTooLong):
		return wrong(acme.IncorrectResponse, "%s answered %s with more than %d octets; it must be the key authorization alone", conn.remote, at, maxBody)
	}
	return wrong(acme.IncorrectResponse, "%s answered %s with what is no HTTP answer: %s", conn.remote, at, networkCause(err))
}

var errTooLong = errors.New("the answer is too long")

// matchBody tells whether a body is the key authorization, with nothing behind
// it but white space (RFC 8555 §8.3). It reads no more than it needs to know,
// and returns the start of what it saw. The error is errTooLong, or that of
// the connection.
func matchBody(body io.Reader, keyAuthorization string) (same bool, seen []byte, err error) {
	want := []byte(keyAuthorization)
	seen = make([]byte, 0, len(want)+maxQuote+1)
	buffer := make([]byte, 1024)
	for total := 0; ; {
		n, err := body.Read(buffer)
		chunk := buffer[:n]
		total += n
		kept := min(n, cap(seen)-len(seen))
		seen = append(seen, chunk[:kept]...)
		full := len(seen) == cap(seen)
		switch {
		case full && (!matches(seen, want) || !isSpace(chunk[kept:])):
			return false, seen, nil
		case errors.Is(err, io.EOF):
			return matches(seen, want), seen, nil
		case err != nil:
			return false, seen, err
		case total > maxBody:
			return false, seen, errTooLong
		}
	}
}

func matches(seen, want []byte) bool {
	return len(seen) >= len(want) && subtle.ConstantTimeCompare(seen[:len(want)], want) == 1 && isSpace(seen[len(want):])
}

func isSpace(b []byte) bool { return len(bytes.TrimLeft(b, " \t\r\n\v\f")) == 0 }

// bodyStart is the start of a body that is only to be shown.
func bodyStart(body io.Reader) []byte {
	start := make([]byte, maxQuote+1)
	n, _ := io.ReadFull(body, start) // what came before an error is shown too
	return start[:n]
}
