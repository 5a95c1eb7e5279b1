package ct

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxAnswer bounds a log's answer: an SCT has a few hundred octets.
	maxAnswer = 16 << 10
	// maxSkew is how far the clock of a log may be ahead: relying parties
	// refuse SCTs from the future, and see this one later than we do.
	maxSkew = 10 * time.Second
	// maxAge is how old an SCT may be: that of a certificate that is submitted
	// again is as old as its first submission, and notBefore is at most 48
	// hours ago.
	maxAge = 48 * time.Hour
	// maxRetryAfter bounds what a log can ask for.
	maxRetryAfter = 5 * time.Minute
)

// answerError is an answer other than an SCT.
type answerError struct {
	status     int
	retryAfter time.Duration
}

func (e *answerError) Error() string { return fmt.Sprintf("it answered with HTTP status %d", e.status) }

// submit asks a log for an SCT and checks it.
func (s *Submitter) submit(ctx context.Context, l *Log, e entry, chain [][]byte) (SCT, error) {
	body, err := json.Marshal(struct {
		Chain [][]byte `json:"chain"`
	}{chain})
	if err != nil {
		return SCT{}, fmt.Errorf("encoding a submission: %w", err)
	}
	path := "ct/v1/add-chain"
	if e.kind == Precertificate {
		path = "ct/v1/add-pre-chain"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.URL+path, bytes.NewReader(body))
	if err != nil {
		return SCT{}, fmt.Errorf("making a request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "cairn")
	resp, err := s.client.Do(req)
	if err != nil {
		return SCT{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return SCT{}, &answerError{resp.StatusCode, retryAfter(resp.Header.Get("Retry-After"))}
	}
	if media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && media == "text/html" {
		return SCT{}, errors.New("it answered with a page of HTML")
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return SCT{}, fmt.Errorf("reading its answer: %w", err)
	}
	sct, err := parseAnswer(data)
	if err != nil {
		return SCT{}, err
	}
	return sct, s.check(l, sct, e)
}

// check holds an SCT to the log, the entry and the time.
func (s *Submitter) check(l *Log, sct SCT, e entry) error {
	if err := l.verify(sct, e); err != nil {
		return fmt.Errorf("checking its SCT: %w", err)
	}
	now := s.Now()
	switch at := sct.Time(); {
	case at.After(now.Add(maxSkew)):
		return fmt.Errorf("its SCT is from the future: %s", at.Format(time.RFC3339))
	case at.Before(now.Add(-maxAge)):
		return fmt.Errorf("its SCT is too old: %s", at.Format(time.RFC3339))
	}
	return nil
}

// parseAnswer reads the answer to add-chain and add-pre-chain (RFC 6962 §4.1).
func parseAnswer(data []byte) (SCT, error) {
	if len(data) > maxAnswer {
		return SCT{}, fmt.Errorf("its answer is larger than %d octets", maxAnswer)
	}
	var a struct {
		Version    *int    `json:"sct_version"`
		ID         []byte  `json:"id"`
		Timestamp  *uint64 `json:"timestamp"`
		Extensions string  `json:"extensions"`
		Signature  []byte  `json:"signature"`
	}
	if err := json.Unmarshal(data, &a); err != nil {
		// The decoder's words may repeat the answer: they are left out.
		return SCT{}, errors.New("its answer is not the JSON of an SCT (RFC 6962 §4.1)")
	}
	extensions, err := base64.StdEncoding.DecodeString(a.Extensions)
	switch {
	case a.Version == nil || *a.Version != 0:
		return SCT{}, errors.New("its SCT is not of version 1")
	case len(a.ID) != len(SCT{}.LogID):
		return SCT{}, errors.New("its SCT has no log ID of 32 octets")
	case a.Timestamp == nil || *a.Timestamp > maxTimestamp:
		return SCT{}, errors.New("its SCT has no timestamp of this age")
	case err != nil || len(extensions) > maxSCTExtensions:
		return SCT{}, fmt.Errorf("its SCT has extensions that are not base64 or have more than %d octets", maxSCTExtensions)
	case len(a.Signature) < 4 || len(a.Signature) > maxSCTSignature:
		return SCT{}, errors.New("its SCT has no signature of a legal length")
	}
	return SCT{LogID: [32]byte(a.ID), Timestamp: *a.Timestamp, Extensions: extensions, Signature: a.Signature}, nil
}

// maxTimestamp is in the year 10889: beyond it, times overflow.
const maxTimestamp = 1 << 48

// retryAfter reads the header in seconds; others have no bearing.
func retryAfter(value string) time.Duration {
	seconds, err := strconv.Atoi(value)
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(min(seconds, 1<<20))*time.Second, maxRetryAfter)
}
