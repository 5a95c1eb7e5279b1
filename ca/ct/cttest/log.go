// Package cttest has a Certificate Transparency log for tests: it signs what it
// is sent, by the encodings of another implementation than package ct's, and
// keeps it in memory.
package cttest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	transparency "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/tls"

	"github.com/cairn-ca/cairn/ca/ct"
)

// Log is a log. It answers requests for any host.
type Log struct {
	*ct.Log
	key *ecdsa.PrivateKey

	mu       sync.Mutex
	entries  map[ct.EntryKind][][]byte // DER
	override http.HandlerFunc
}

// New makes a log.
func New(t testing.TB, name, operator string) *Log {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	l, err := ct.NewLog(ct.LogConfig{Name: name, Operator: operator, URL: "http://" + name + ".test/", Key: base64.StdEncoding.EncodeToString(spki)})
	if err != nil {
		t.Fatal(err)
	}
	return &Log{Log: l, key: key, entries: make(map[ct.EntryKind][][]byte)}
}

// Public is the log's key.
func (l *Log) Public() crypto.PublicKey { return l.key.Public() }

// Override answers requests instead of the log; nil: the log answers.
func (l *Log) Override(h http.HandlerFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.override = h
}

// Entries are the certificates or precertificates that it was sent.
func (l *Log) Entries(kind ct.EntryKind) [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([][]byte(nil), l.entries[kind]...)
}

// ServeHTTP implements add-chain and add-pre-chain.
func (l *Log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.override != nil {
		l.override(w, r)
		return
	}
	var request transparency.AddChainRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	kind, entryType := ct.Certificate, transparency.X509LogEntryType
	if strings.HasSuffix(r.URL.Path, transparency.AddPreChainPath) {
		kind, entryType = ct.Precertificate, transparency.PrecertLogEntryType
	}
	var chain []transparency.ASN1Cert
	for _, der := range request.Chain {
		chain = append(chain, transparency.ASN1Cert{Data: der})
	}
	now := uint64(time.Now().UnixMilli())
	leaf, err := transparency.MerkleTreeLeafFromRawChain(chain, entryType, now)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	sct := transparency.SignedCertificateTimestamp{SCTVersion: transparency.V1, LogID: transparency.LogID{KeyID: l.ID}, Timestamp: now}
	input, err := transparency.SerializeSCTSignatureInput(sct, transparency.LogEntry{Leaf: *leaf})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	signature, err := tls.CreateSignature(*l.key, tls.SHA256, input)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	encoded, err := tls.Marshal(signature)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	l.entries[kind] = append(l.entries[kind], request.Chain[0])
	_ = json.NewEncoder(w).Encode(transparency.AddChainResponse{SCTVersion: transparency.V1, ID: l.ID[:], Timestamp: now, Signature: encoded})
}

// Network reaches logs by their names, without sockets.
type Network []*Log

// RoundTrip implements http.RoundTripper.
func (n Network) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, l := range n {
		if r.URL.Host != l.Name+".test" {
			continue
		}
		w := httptest.NewRecorder()
		l.ServeHTTP(w, r)
		return w.Result(), nil
	}
	return nil, fmt.Errorf("there is no host %s", r.URL.Host)
}
