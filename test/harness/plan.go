package harness

import (
	"fmt"
	"maps"
	"net"
	"os/exec"
	"path/filepath"
)

// makePlan decides on ports, folders and configurations.
func (s *Server) makePlan() error {
	if s.Wiring.Roles {
		return s.planRoles()
	}
	config, err := s.baseConfig()
	if err != nil {
		return err
	}
	return s.addProcess("serve", config)
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

// baseConfig is the configuration that all processes begin with. It sets the
// addresses and no more than tests need: everything else is the default that
// users have.
func (s *Server) baseConfig() (map[string]any, error) {
	addrs, err := s.ports.addrs(3)
	if err != nil {
		return nil, err
	}
	acme, public, admin := addrs[0], addrs[1], addrs[2]
	_, port, err := net.SplitHostPort(acme)
	if err != nil {
		return nil, err
	}
	external := "https://localhost:" + port
	s.DirectoryURL, s.PublicURL, s.AdminURL = external+"/directory", "http://"+public, "https://"+admin
	return map[string]any{
		"listen":       map[string]any{"acme": acme, "public": public, "admin": admin},
		"external_url": external,
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
	}, nil
}

// roles are the processes of the split wiring, each after those it calls.
var roles = []struct {
	name  string
	calls []string
}{
	{"sa", nil},
	{"va", nil},
	{"ca", []string{"sa"}},
	{"ra", []string{"sa", "va", "ca"}},
	{"wfe", []string{"sa", "ra", "ca"}},
	{"ocsp", []string{"sa"}},
}

func (s *Server) planRoles() error {
	base, err := s.baseConfig()
	if err != nil {
		return err
	}
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
	callers := make(map[string][]string)
	for i, role := range roles {
		address[role.name] = rpcAddrs[i]
		for _, called := range role.calls {
			callers[called] = append(callers[called], role.name)
		}
	}
	for i, role := range roles {
		config := maps.Clone(base)
		listen := maps.Clone(base["listen"].(map[string]any))
		listen["admin"] = adminAddrs[i]
		config["listen"] = listen
		if role.name == "wfe" {
			s.AdminURL = "https://" + adminAddrs[i]
		}
		services := make(map[string]any)
		for _, called := range role.calls {
			services[called] = []string{address[called]}
		}
		config["rpc"] = map[string]any{
			"listen": address[role.name],
			"tls": map[string]any{
				"ca":   filepath.Join(certificates, "ca.pem"),
				"cert": filepath.Join(certificates, role.name+".pem"),
				"key":  filepath.Join(certificates, role.name+"-key.pem"),
			},
			"services": services,
		}
		if err := s.addProcess(role.name, config); err != nil {
			return err
		}
	}
	return nil
}
