package testmode

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/responder"
)

func TestResolver(t *testing.T) {
	t.Parallel()
	upstream, err := responder.Start(t.Context(), responder.Config{Suffixes: []string{"up.example"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(upstream.Close)
	if err := upstream.SetCAA("up.example", `0 issue ";"`); err != nil {
		t.Fatal(err)
	}
	long := make([]string, 40)
	for i := range long {
		long[i] = "a text record that is long enough for many of them not to fit into a datagram, whatever its size may be, number " + string(rune('0'+i))
	}
	upstream.SetTXT("long.up.example", long...)
	hosts := filepath.Join(t.TempDir(), "hosts")
	text := "# names\n10.0.0.1 Client.Example client # alias\nfd00::1 client.example\nbad line\n10.0.0.2\n"
	if err := os.WriteFile(hosts, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// The first of the upstreams does not answer.
	r, err := StartResolver(t.Context(), ResolverConfig{Upstreams: []string{"127.0.0.1:1", upstream.DNSAddr()}, HostsFile: hosts})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	ask := func(network, name string, qtype uint16) *dns.Msg {
		t.Helper()
		query := new(dns.Msg).SetQuestion(name, qtype)
		query.SetEdns0(1232, false)
		reply, _, err := (&dns.Client{Net: network}).Exchange(query, r.Address)
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
	for _, test := range []struct {
		name  string
		qtype uint16
		want  []string
	}{
		{"client.EXAMPLE.", dns.TypeA, []string{"client.EXAMPLE.\t0\tIN\tA\t10.0.0.1"}},
		{"client.example.", dns.TypeAAAA, []string{"client.example.\t0\tIN\tAAAA\tfd00::1"}},
		{"client.", dns.TypeA, []string{"client.\t0\tIN\tA\t10.0.0.1"}},
		{"client.", dns.TypeAAAA, nil},
		{"up.example.", dns.TypeCAA, nil},
		{"client.example.", dns.TypeCAA, nil},
	} {
		for _, network := range []string{"udp", "tcp"} {
			reply := ask(network, test.name, test.qtype)
			var got []string
			for _, rr := range reply.Answer {
				got = append(got, rr.String())
			}
			if reply.Rcode != dns.RcodeSuccess || !slices.Equal(got, test.want) {
				t.Errorf("%s %s over %s: %s %v, want %v", test.name, dns.TypeToString[test.qtype], network, dns.RcodeToString[reply.Rcode], got, test.want)
			}
		}
	}
	if reply := ask("udp", "x.up.example.", dns.TypeA); reply.Rcode != dns.RcodeSuccess || len(reply.Answer) == 0 {
		t.Errorf("a name of the upstream's: %v", reply)
	}
	if reply := ask("udp", "long.up.example.", dns.TypeTXT); !reply.Truncated {
		t.Error("an answer that does not fit is not truncated")
	}
	if reply := ask("tcp", "long.up.example.", dns.TypeTXT); len(reply.Answer) != len(long) {
		t.Errorf("%d records over TCP, want %d", len(reply.Answer), len(long))
	}
}

func TestResolverWithoutUpstreams(t *testing.T) {
	t.Parallel()
	r := &Resolver{ResolverConfig: ResolverConfig{HostsFile: filepath.Join(t.TempDir(), "none")}}
	if reply := r.answer(new(dns.Msg).SetQuestion("a.example.", dns.TypeA)); reply.Rcode != dns.RcodeServerFailure {
		t.Errorf("got %v", reply)
	}
	if reply := r.answer(new(dns.Msg)); reply.Rcode != dns.RcodeFormatError {
		t.Errorf("without a question: %v", reply)
	}
}

func TestSystemResolvers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver 127.0.0.11\nnameserver ::1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := SystemResolvers(file); !slices.Equal(got, []string{"127.0.0.11:53", "[::1]:53"}) {
		t.Errorf("got %v", got)
	}
	if got := SystemResolvers(filepath.Join(t.TempDir(), "none")); got != nil {
		t.Errorf("got %v", got)
	}
}
