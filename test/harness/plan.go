package harness

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
)

// makePlan decides on ports, folders and configurations.
func (s *Server) makePlan() error {
	addrs, err := s.ports.addrs(3)
	if err != nil {
		return err
	}
	l := listeners{acme: addrs[0], public: addrs[1], admin: addrs[2]}
	_, port, err := net.SplitHostPort(l.acme)
	if err != nil {
		return err
	}
	s.externalURL = "https://localhost:" + port
	s.DirectoryURL, s.PublicURL, s.AdminURL = s.externalURL+"/directory", "http://"+l.public, "https://"+l.admin
	if s.Wiring.Roles {
		return s.planRoles(l)
	}
	return s.addProcess("serve", "serve", s.config(l))
}

// listeners are the addresses of a process's listeners.
type listeners struct{ acme, public, admin string }

// config is the configuration that all processes begin with. It sets the
// addresses and no more than tests need: everything else is the default that
// users have.
func (s *Server) config(l listeners) map[string]any {
	return map[string]any{
		"listen":       map[string]any{"acme": l.acme, "public": l.public, "admin": l.admin},
		"external_url": s.externalURL,
		"public_url":   s.PublicURL,
		"store":        map[string]any{"url": s.store},
		"va": map[string]any{
			"resolvers": []string{s.Names.DNSAddr()},
			"http_port": s.Names.HTTPPort(), "tls_port": s.Names.TLSPort(),
			"allow_private_addresses": true,
		},
		// A validation that may heal is tried again, but soon.
		"validation": map[string]any{"retries": 1, "retry_wait": "200ms"},
		"ca":         map[string]any{"crl_delay": "1s"},
		"log":        map[string]any{"level": "debug"},
	}
}

// addProcess writes the configuration of a process, which runs a command, and
// appends it to the plan.
func (s *Server) addProcess(name, command string, config map[string]any) error {
	data := filepath.Join(s.Dir, name)
	config["data"] = data
	path, err := s.writeConfig(name, config)
	if err != nil {
		return err
	}
	listen := config["listen"].(map[string]any)
	s.plan = append(s.plan, plan{
		name: name, data: data,
		admin: fmt.Sprintf("https://%s", listen["admin"]),
		args:  []string{command, "--config", path, "--data", data},
	})
	return nil
}

// role is a role of the split wiring.
type role struct {
	name   string
	serves bool // over gRPC
	calls  []string
}

// roles are the roles of the split wiring, each after those it calls.
var roles = []role{
	{"sa", true, nil},
	{"va", true, nil},
	{"ca", true, []string{"sa"}},
	{"ra", true, []string{"sa", "va", "ca"}},
	{"wfe", false, []string{"sa", "ra", "ca"}},
	{"ocsp", false, []string{"sa"}},
}

func (s *Server) planRoles(l listeners) error {
	certificates := filepath.Join(s.Dir, "mtls")
	path, err := Binary()
	if err != nil {
		return err
	}
	if out, err := exec.Command(path, "mtls", certificates).CombinedOutput(); err != nil {
		return fmt.Errorf("cairn mtls: %w\n%s", err, out)
	}
	split := split{s, l, certificates, make(map[string][]string)}
	for _, role := range roles {
		count := 1
		if slices.Contains(s.Replicas, role.name) {
			count = 2
		}
		if split.addresses[role.name], err = s.ports.addrs(count); err != nil {
			return err
		}
	}
	for _, role := range roles {
		for i, own := range split.addresses[role.name] {
			name := role.name
			if i > 0 {
				name = Replica(role.name)
			}
			if err := split.add(role, name, own); err != nil {
				return err
			}
		}
	}
	return nil
}

// Replica is the name of the second process of a role.
func Replica(role string) string { return role + "-2" }

// split is what the processes of the split wiring have in common.
type split struct {
	*Server
	listeners
	certificates string
	addresses    map[string][]string // of gRPC, by role
}

// add plans one process of a role, whose gRPC address is own.
func (s split) add(role role, name, own string) (err error) {
	if s.admin, err = s.ports.addr(); err != nil {
		return err
	}
	config := s.config(s.listeners)
	switch role.name {
	case "wfe":
		s.AdminURL = "https://" + s.admin
	case "ocsp": // the signing authority keeps its signers there
		config["ca"].(map[string]any)["ocsp_signers"] = filepath.Join(s.Dir, "ca", "keys")
		if s.replica != "" {
			config["store"] = map[string]any{"replica_url": s.replica}
			role.calls = nil
		}
	}
	services := make(map[string]any)
	for _, called := range role.calls {
		services[called] = s.addresses[called]
	}
	rpc := map[string]any{
		"tls": map[string]any{
			"ca":   filepath.Join(s.certificates, "internal-ca.pem"),
			"cert": filepath.Join(s.certificates, role.name+".pem"),
			"key":  filepath.Join(s.certificates, role.name+".key"),
		},
		"services": services,
	}
	if role.serves {
		rpc["listen"] = own
	}
	config["rpc"] = rpc
	return s.addProcess(name, role.name, config)
}
