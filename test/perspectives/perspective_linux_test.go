package perspectives

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/cairn-ca/cairn/internal/responder"
	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// perspective is a `cairn va --perspective` in a place of its own.
type perspective struct {
	name, region string
	place        *place
	view         *responder.Responder // what is seen from there
	config       string
	cmd          *exec.Cmd
	log          *bytes.Buffer
}

const (
	perspectiveRPC   = "9010"
	perspectiveAdmin = "15000"
)

// lab is a CA and its perspectives.
type lab struct {
	*harness.Server
	perspectives []*perspective
	certificates string
	setUp        sync.Once
}

// regions are those of the perspectives: three are in one region, so that
// without iad the others are not enough.
var regions = map[string]string{"fra": "RIPE", "ams": "RIPE", "waw": "RIPE", "iad": "ARIN"}

var names = []string{"fra", "ams", "waw", "iad"}

func newLab(t *testing.T, w harness.Wiring) *lab {
	t.Helper()
	if unavailable != "" {
		t.Skip("SKIPPED: no network namespaces here: " + unavailable)
	}
	l := &lab{}
	for _, name := range names {
		p := &perspective{name: name, region: regions[name]}
		var err error
		if p.place, err = newPlace(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.place.leave)
		if p.view, err = p.place.view(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.view.Close)
		l.perspectives = append(l.perspectives, p)
	}
	l.Server = harness.Start(t, harness.Options{Wiring: w, Configure: func(config map[string]any) {
		directories := map[string]any{
			"default": map[string]any{},
			"shadow":  map[string]any{"validation": map[string]any{"perspectives": map[string]any{"mode": "shadow"}}},
			"below":   map[string]any{"subdomains": true},
		}
		config["directories"] = directories
		config["validation"].(map[string]any)["perspectives"] = map[string]any{"mode": "required"}
		var addresses []map[string]any
		for _, p := range l.perspectives {
			addresses = append(addresses, map[string]any{
				"name": p.name, "region": p.region, "addresses": []string{p.place.addr + ":" + perspectiveRPC},
			})
		}
		config["va"].(map[string]any)["perspectives"] = addresses
		rpc, split := config["rpc"].(map[string]any)
		if split {
			l.certificates = filepath.Dir(rpc["tls"].(map[string]any)["ca"].(string))
		} else {
			if l.certificates == "" {
				l.certificates = filepath.Join(t.TempDir(), "mtls")
			}
			config["rpc"] = map[string]any{"tls": l.tls("va")}
		}
		// The perspectives are there before the CA is.
		l.setUp.Do(func() {
			l.makeCertificates(t)
			for _, p := range l.perspectives {
				l.write(t, p, config["external_url"].(string), directories)
				p.start(t)
				t.Cleanup(func() { p.stop(t) })
			}
			for _, p := range l.perspectives {
				p.awaitReady(t)
			}
		})
	}})
	return l
}

func (l *lab) tls(name string) map[string]any {
	return map[string]any{
		"ca":   filepath.Join(l.certificates, "internal-ca.pem"),
		"cert": filepath.Join(l.certificates, name+".pem"), "key": filepath.Join(l.certificates, name+".key"),
	}
}

func (l *lab) makeCertificates(t *testing.T) {
	t.Helper()
	path, err := harness.Binary()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"mtls", l.certificates, "--name", "va"}
	for _, p := range l.perspectives {
		args = append(args, "--name", "perspective-"+p.name)
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Fatalf("cairn mtls: %v\n%s", err, out)
	}
}

// write writes the configuration of a perspective: what the CA has of its
// directories, and its own resolver.
func (l *lab) write(t *testing.T, p *perspective, externalURL string, directories map[string]any) {
	t.Helper()
	data, err := yaml.Marshal(map[string]any{
		"external_url": externalURL,
		"directories":  directories,
		"validation":   map[string]any{"perspectives": map[string]any{"mode": "required"}},
		"listen":       map[string]any{"admin": p.place.addr + ":" + perspectiveAdmin},
		"va": map[string]any{
			"resolvers": []string{p.view.DNSAddr()}, "http_port": p.view.HTTPPort(), "tls_port": p.view.TLSPort(),
		},
		"rpc": map[string]any{"listen": p.place.addr + ":" + perspectiveRPC, "tls": l.tls("perspective-" + p.name)},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.config = filepath.Join(t.TempDir(), p.name+".yaml")
	if err := os.WriteFile(p.config, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *perspective) start(t *testing.T) {
	t.Helper()
	path, err := harness.Binary()
	if err != nil {
		t.Fatal(err)
	}
	p.log = &bytes.Buffer{}
	p.cmd = exec.Command(path, "va", "--perspective", p.name, "--region", p.region, "--config", p.config)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// The process is where the thread is that starts it, which lasts as long
	// as the place.
	if err := p.place.do(p.cmd.Start); err != nil {
		t.Fatalf("starting perspective %s: %v", p.name, err)
	}
}

// kill is kill -9.
func (p *perspective) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = p.cmd.Wait() // it was killed
	p.cmd = nil
}

func (p *perspective) stop(t *testing.T) {
	if p.cmd == nil {
		return
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("stopping perspective %s: %v", p.name, err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("perspective %s did not exit with status 0 after SIGTERM: %v", p.name, err)
	}
	if t.Failed() {
		log := p.log.String()
		t.Logf("--- log of perspective %s\n%s", p.name, log[max(0, len(log)-4000):])
	}
}

func (p *perspective) awaitReady(t *testing.T) {
	t.Helper()
	// The certificate is not verified: nothing secret is sent.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: 5 * time.Second}
	rawacme.Poll(t, "perspective "+p.name, func() bool {
		resp, err := client.Get("https://" + p.place.addr + ":" + perspectiveAdmin + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// account is a client with a new account of a directory.
func (l *lab) account(t *testing.T, directory string) *rawacme.Client {
	t.Helper()
	url := l.DirectoryURL
	if directory != "default" {
		url = strings.TrimSuffix(url, "/directory") + "/" + directory + "/directory"
	}
	c := rawacme.New(t, l.HTTP(t), url, rawacme.NewKey(t))
	c.Register(t)
	return c
}

// answer prepares the right answer to a challenge, to be seen from everywhere
// but the places that are hijacked: there an attacker answers.
func (l *lab) answer(c *rawacme.Client, authz rawacme.Authorization, challenge rawacme.Challenge, hijacked ...string) {
	right := c.KeyAuthorization(challenge.Token)
	l.AnswerWith(authz, challenge, right)
	for _, p := range l.perspectives {
		seen := right
		for _, h := range hijacked {
			if h == p.name {
				seen = "attacker." + p.name
			}
		}
		switch challenge.Type {
		case "http-01":
			p.view.SetHTTP01(challenge.Token, seen)
		case "dns-01":
			p.view.SetTXT("_acme-challenge."+authz.Identifier.Value, harness.TXT(seen))
		case "tls-alpn-01":
			p.view.SetTLSALPN01(authz.Identifier.Value, seen)
		}
	}
}

// authorize fulfils an order's only authorization and returns what became of
// it.
func (l *lab) authorize(t *testing.T, c *rawacme.Client, order rawacme.Order, kind string, hijacked ...string) rawacme.Challenge {
	t.Helper()
	authz := c.Authorization(t, order.Authorizations[0])
	challenge := authz.Challenge(t, kind)
	l.answer(c, authz, challenge, hijacked...)
	c.Respond(t, challenge)
	return c.Decided(t, authz.URL).Challenge(t, kind)
}

func (l *lab) place(name string) *perspective {
	for _, p := range l.perspectives {
		if p.name == name {
			return p
		}
	}
	panic(fmt.Sprintf("no perspective %q", name))
}

// auditRecord is a line of the audit log.
type auditRecord struct {
	Msg, Check, Mode, Identifier, Quorum string
	Reached                              bool
	Perspectives                         []perspectiveRecord
	Evidence                             struct {
		Quorum       string
		Perspectives []perspectiveRecord
	}
}

type perspectiveRecord struct {
	Name, Region string
	Problem      *struct{ Type, Detail string }
}

// audit is the records of the audit log about an identifier.
func (l *lab) audit(t *testing.T, message, identifier string) []auditRecord {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(l.Dir, "serve", "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	var found []auditRecord
	for line := range bytes.Lines(data) {
		var r auditRecord
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if r.Msg == message && strings.HasSuffix(r.Identifier, identifier) {
			found = append(found, r)
		}
	}
	return found
}
