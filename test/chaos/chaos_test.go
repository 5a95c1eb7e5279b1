// Package chaos ends processes with kill -9 at the worst moments: what was
// accepted is not lost, and nothing is done twice (DESIGN.md §4, invariant 3).
package chaos

import (
	"flag"
	"net/http"
	"path"
	"sync"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

func TestMain(m *testing.M) {
	// These tests wait for leases to lapse more than they work.
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	harness.Main(m)
}

// start starts a server that answers without waiting for results, so that
// there is work under way when it is killed, and whose leases lapse soon.
func start(t *testing.T, w harness.Wiring) *harness.Server { return startWith(t, w) }

// startWith is start with two processes for each of the roles in replicas.
func startWith(t *testing.T, w harness.Wiring, replicas ...string) *harness.Server {
	return harness.Start(t, harness.Options{Wiring: w, Replicas: replicas, Configure: func(config map[string]any) {
		config["answer_wait"] = "0s"
		config["va"].(map[string]any)["timeout"] = "2s"
		// However long a busy machine takes to get to the point.
		config["validation"].(map[string]any)["retries"] = 6
	}})
}

// victims are the processes to kill: each role by itself, or everything.
func victims(w harness.Wiring, roles ...string) [][]string {
	if !w.Roles {
		return [][]string{nil}
	}
	all := [][]string{nil}
	for _, role := range roles {
		all = append(all, []string{role})
	}
	return all
}

// A challenge was accepted and its validation is under way when the server is
// killed. After the restart the authorization becomes valid by itself.
func TestKillDuringValidation(t *testing.T) {
	t.Parallel()
	harness.EachWiring(t, func(t *testing.T, w harness.Wiring) {
		s := start(t, w)
		c := s.Account(t)
		web := &slowWeb{arrived: make(chan struct{}, 100)}
		s.Names.SetHTTPHandler(web)
		for _, victim := range victims(w, "ra", "va") {
			name := harness.NewName("validation")
			order := c.NewOrder(t, name)
			authz := c.Authorization(t, order.Authorizations[0])
			challenge := authz.Challenge(t, "http-01")
			let := web.hold(challenge.Token, c.KeyAuthorization(challenge.Token))

			c.Respond(t, challenge)
			<-web.arrived // the validation is waiting for the web server
			s.Kill(victim...)
			let()
			s.Up(t)

			c.Forget()
			if authz = c.Decided(t, authz.URL); authz.Status != "valid" {
				t.Fatalf("after kill -9 of %v the authorization is %s: %+v", victim, authz.Status, authz.Challenges)
			}
			key := rawacme.NewKey(t)
			chain := c.Finalize(t, order, rawacme.CSR(t, key, []string{name}))
			s.Verify(t, harness.Certificate{Chain: chain}, name)
		}
	})
}

// The server is killed while it answers finalize requests, some of which were
// answered, some not. After the restart each polling client gets its
// certificate, one.
func TestKillDuringFinalize(t *testing.T) {
	t.Parallel()
	harness.EachWiring(t, func(t *testing.T, w harness.Wiring) {
		s := start(t, w)
		c := s.Account(t)
		for _, victim := range victims(w, "ca", "ra") {
			killDuringFinalize(t, s, c, victim)
		}
	})
}

// finalizing is an order whose finalize request was sent.
type finalizing struct {
	order    rawacme.Order
	name     string
	csr      map[string]any
	accepted bool // there was an answer, and it was good
}

func killDuringFinalize(t *testing.T, s *harness.Server, c *rawacme.Client, victim []string) {
	t.Helper()
	const orders = 8
	all := make([]*finalizing, orders)
	for i := range all {
		name := harness.NewName("finalize")
		all[i] = &finalizing{
			order: s.Ready(t, c, "http-01", name), name: name,
			csr: map[string]any{"csr": rawacme.B64(rawacme.CSR(t, rawacme.NewKey(t), []string{name}))},
		}
	}
	// The first is accepted for certain. The others are at any point between
	// the request and the answer when the server is killed.
	all[0].send(t, c)
	if !all[0].accepted {
		t.Fatal("finalize was refused")
	}
	var sent sync.WaitGroup
	for _, f := range all[1:] {
		sent.Go(func() { f.send(t, c) })
	}
	s.Kill(victim...)
	sent.Wait()
	s.Up(t)
	c.Forget()
	for _, f := range all {
		f.finish(t, s, c, victim)
	}
}

func (f *finalizing) send(t *testing.T, c *rawacme.Client) {
	resp, err := c.Try(t.Context(), f.order.Finalize, f.csr)
	f.accepted = err == nil && resp.Status == http.StatusOK
}

// finish does what a client does that lost its connection.
func (f *finalizing) finish(t *testing.T, s *harness.Server, c *rawacme.Client, victim []string) {
	t.Helper()
	order := c.Order(t, f.order.URL)
	if order.Status == "ready" {
		if f.accepted {
			t.Errorf("kill -9 of %v: finalize was accepted and forgotten", victim)
		}
		c.Post(t, order.Finalize, f.csr).Want(t, http.StatusOK)
	}
	order = c.Settled(t, order.URL)
	if order.Status != "valid" {
		t.Fatalf("after kill -9 of %v the order is %s: %+v", victim, order.Status, order.Error)
	}
	chain := c.Download(t, order.Certificate)
	s.Verify(t, harness.Certificate{Chain: chain}, f.name)
	if again := c.Download(t, c.Order(t, order.URL).Certificate); !again[0].Equal(chain[0]) {
		t.Error("the order's certificate changed")
	}
}

// A revocation that was answered is there after kill -9, in OCSP and the CRL.
func TestKillAfterRevocation(t *testing.T) {
	t.Parallel()
	harness.EachWiring(t, func(t *testing.T, w harness.Wiring) {
		s := start(t, w)
		c := s.Account(t)
		issued := s.Issue(t, c, "http-01", harness.NewName("revoked"))
		c.Revoke(t, issued.Leaf().Raw, 1).Want(t, http.StatusOK)
		s.Kill()
		s.Up(t)
		s.CheckRevoked(t, issued.Certificate, 1)
	})
}

// slowWeb answers tokens when it is let, and counts who asks for one at the
// same time.
type slowWeb struct {
	arrived chan struct{}
	tokens  sync.Map

	mu   sync.Mutex
	now  map[string]int
	most int
}

// atOnce is how many have asked for one token at the same time, at most.
func (w *slowWeb) atOnce() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.most
}

func (w *slowWeb) count(token string, change int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now == nil {
		w.now = make(map[string]int)
	}
	w.now[token] += change
	w.most = max(w.most, w.now[token])
}

type held struct {
	let     chan struct{}
	content string
}

// hold prepares an answer that waits until the function is called.
func (w *slowWeb) hold(token, content string) (let func()) {
	h := held{make(chan struct{}), content}
	w.tokens.Store(token, h)
	return sync.OnceFunc(func() { close(h.let) })
}

func (w *slowWeb) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	token := path.Base(req.URL.Path)
	h, ok := w.tokens.Load(token)
	if !ok {
		http.NotFound(rw, req)
		return
	}
	w.count(token, 1)
	defer w.count(token, -1)
	w.arrived <- struct{}{}
	select {
	case <-h.(held).let:
		_, _ = rw.Write([]byte(h.(held).content))
	case <-req.Context().Done():
		panic(http.ErrAbortHandler)
	}
}
