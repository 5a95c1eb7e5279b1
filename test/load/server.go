package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// startLimit is how long a server may take until its directory answers.
const startLimit = 60 * time.Second

// surroundings are what a server needs to know to validate against us.
type surroundings struct {
	resolver string // host:port of the DNS server
	httpPort int    // where http-01 connects to
}

// launch is how to run a server whose files are in a folder of its own.
type launch struct {
	command   []string
	env       []string
	directory string
	root      string // PEM file; may appear only while the server starts
}

// contender is a server that compare can run.
type contender struct {
	name   string
	binary string
	// prepare writes the server's files into dir, which is empty.
	prepare func(binary, dir string, s surroundings) (launch, error)
}

// run starts a fresh server in dir, waits for its directory and returns it
// with how to reach it.
func (c contender) run(ctx context.Context, dir string, s surroundings, http1 bool) (*child, Target, error) {
	l, err := c.prepare(c.binary, dir, s)
	if err != nil {
		return nil, Target{}, fmt.Errorf("preparing %s: %w", c.name, err)
	}
	server, err := startChild(ctx, filepath.Join(dir, "log"), l.env, l.command...)
	if err != nil {
		return nil, Target{}, err
	}
	target := Target{Directory: l.directory, HTTP1: http1}
	err = server.waitReady(ctx, startLimit, func(ctx context.Context) error {
		roots, err := readRoots(l.root)
		if err != nil {
			return err
		}
		target.Roots = roots
		return target.answers(ctx)
	})
	if err != nil {
		server.stop()
		return nil, Target{}, fmt.Errorf("starting %s: %w", c.name, err)
	}
	return server, target, nil
}

// answers asks for the directory once, on a connection of its own.
func (t Target) answers(ctx context.Context) error {
	h := t.httpClient()
	defer h.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.Directory, nil)
	if err != nil {
		return err
	}
	res, err := h.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", t.Directory, res.Status)
	}
	return nil
}

func readRoots(file string) (*x509.CertPool, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the root certificate: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("reading the root certificate: %s holds none", file)
	}
	return pool, nil
}

// cairn runs `cairn serve` on SQLite with everything as it comes, rate limits
// included; only what says where to validate is set.
func cairn(binary string) contender {
	return contender{name: "cairn", binary: binary, prepare: prepareCairn}
}

// configOf is the configuration file of a Cairn in a folder.
func configOf(dir string) string { return filepath.Join(dir, "cairn.yaml") }

func prepareCairn(binary, dir string, s surroundings) (launch, error) {
	ports, err := freePorts(3)
	if err != nil {
		return launch{}, err
	}
	data, config := filepath.Join(dir, "data"), configOf(dir)
	text := fmt.Sprintf(`listen:
  acme: 127.0.0.1:%d
  public: 127.0.0.1:%d
  admin: 127.0.0.1:%d
external_url: https://localhost:%[1]d
va:
  resolvers: [%[4]q]
  http_port: %[5]d
`, ports[0], ports[1], ports[2], s.resolver, s.httpPort)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return launch{}, err
	}
	return launch{
		command:   []string{binary, "serve", "--config", config, "--data", data},
		directory: fmt.Sprintf("https://localhost:%d/directory", ports[0]),
		root:      filepath.Join(data, "root.pem"),
	}, nil
}

// pebble runs Pebble with the configuration of its repository (an ECDSA
// hierarchy among it) and without what it does only to annoy clients: no sleep
// before a validation, no refused nonces, no authorization used twice.
func pebble(binary string) contender {
	return contender{name: "pebble", binary: binary, prepare: preparePebble}
}

func preparePebble(binary, dir string, s surroundings) (launch, error) {
	ports, err := freePorts(3)
	if err != nil {
		return launch{}, err
	}
	certificate, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := writeServerCertificate(certificate, key); err != nil {
		return launch{}, err
	}
	config := filepath.Join(dir, "pebble.json")
	text, err := json.MarshalIndent(map[string]any{"pebble": map[string]any{
		"listenAddress":           "127.0.0.1:" + strconv.Itoa(ports[0]),
		"managementListenAddress": "127.0.0.1:" + strconv.Itoa(ports[1]),
		"certificate":             certificate,
		"privateKey":              key,
		"httpPort":                s.httpPort,
		"tlsPort":                 ports[2],
		"keyAlgorithm":            "ecdsa",
		"retryAfter":              map[string]int{"authz": 3, "order": 5},
		"profiles": map[string]any{"default": map[string]any{
			"description": "90 days", "validityPeriod": 7776000,
		}},
	}}, "", "  ")
	if err != nil {
		return launch{}, err
	}
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return launch{}, err
	}
	return launch{
		command:   []string{binary, "-config", config, "-dnsserver", s.resolver, "-strict=false"},
		env:       []string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=0"},
		directory: fmt.Sprintf("https://localhost:%d/dir", ports[0]),
		root:      certificate,
	}, nil
}

// writeServerCertificate makes the self-signed P-256 certificate of a server
// that does not issue its own.
func writeServerCertificate(certificate, key string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making a server key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "localhost"},
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return fmt.Errorf("making a server certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("encoding a server key: %w", err)
	}
	if err := writePEM(certificate, "CERTIFICATE", der); err != nil {
		return err
	}
	return writePEM(key, "PRIVATE KEY", keyDER)
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// freePorts are TCP ports of 127.0.0.1 that nobody listens on now. A server
// that finds one taken all the same fails to start, and is started again.
func freePorts(count int) ([]int, error) {
	ports := make([]int, count)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
