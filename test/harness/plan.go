package harness

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
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
	return s.addProcess("serve", s.config(l))
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

// addProcess writes the configuration of a process and appends it to the plan.
func (s *Server) addProcess(command string, config map[string]any) error {
	data := filepath.Join(s.Dir, command)
	config["data"] = data
	path, err := s.writeConfig(command, config)
	if err != nil {
		return err
	}
	listen := config["listen"].(map[string]any)
	s.plan = append(s.plan, plan{
		name: command, data: data,
		admin: fmt.Sprintf("https://%s", listen["admin"]),
		args:  []string{command, "--config", path, "--data", data},
	})
	return nil
}

// roles are the processes of the split wiring, each after those it calls.
var roles = []struct {
	name   string
	serves bool // over gRPC
	calls  []string
}{
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
	rpcAddrs, err := s.ports.addrs(len(roles))
	if err != nil {
		return err
	}
	adminAddrs, err := s.ports.addrs(len(roles))
	if err != nil {
		return err
	}
	address := make(map[string]string)
	for i, role := range roles {
		address[role.name] = rpcAddrs[i]
	}
	for i, role := range roles {
		l.admin = adminAddrs[i]
		config := s.config(l)
		switch role.name {
		case "wfe":
			s.AdminURL = "https://" + l.admin
		case "ocsp": // the signing authority keeps its signers there
			config["ca"].(map[string]any)["ocsp_signers"] = filepath.Join(s.Dir, "ca", "keys")
			if s.replica != "" {
				config["store"] = map[string]any{"replica_url": s.replica}
				role.calls = nil
			}
		}
		services := make(map[string]any)
		for _, called := range role.calls {
			services[called] = []string{address[called]}
		}
		rpc := map[string]any{
			"tls": map[string]any{
				"ca":   filepath.Join(certificates, "internal-ca.pem"),
				"cert": filepath.Join(certificates, role.name+".pem"),
				"key":  filepath.Join(certificates, role.name+".key"),
			},
			"services": services,
		}
		if role.serves {
			rpc["listen"] = address[role.name]
		}
		config["rpc"] = rpc
		if err := s.addProcess(role.name, config); err != nil {
			return err
		}
	}
	return nil
}
