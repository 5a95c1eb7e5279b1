package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/va"
)

// corroborated puts the remote perspectives of the configuration around the
// validation authority of this process, the primary perspective.
func (n *instance) corroborated(local va.Authority) (va.Authority, error) {
	var perspectives []va.Perspective
	for _, p := range n.cfg.VA.Perspectives {
		id, err := va.ParsePerspectiveID(p.Name, p.Region)
		if err != nil {
			return nil, fmt.Errorf("va.perspectives: %w", err)
		}
		conn, err := n.dialPerspective(id, p.Addresses)
		if err != nil {
			return nil, err
		}
		perspectives = append(perspectives, va.Perspective{PerspectiveID: id, Authority: va.NewPerspectiveClient(conn, id)})
	}
	policies := make(map[string]va.PerspectivePolicy)
	for _, d := range n.cfg.ServedDirectories() {
		policies[d.Name] = va.PerspectivePolicy{
			Mode: va.PerspectiveMode(d.Validation.Perspectives.Mode), Public: d.Public, Regions: d.Validation.Perspectives.Regions,
		}
	}
	c, err := va.NewCorroborator(va.CorroborationConfig{
		Local:        local,
		Perspectives: perspectives,
		Directories:  policies,
		Timeout:      n.cfg.VA.Timeout,
		Wait:         n.cfg.VA.PerspectiveWait,
		Now:          n.now,
		Logger:       n.log("va"),
		Audit:        n.auditBy("va"),
		Metrics:      n.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("va.perspectives: %w; see deploy/perspectives.md", err)
	}
	return c, nil
}

// dialPerspective makes the connection to a perspective, which must have the
// certificate of its own name. One that is away keeps nobody from being ready:
// it corroborates nothing, and the quorum says what that means.
func (n *instance) dialPerspective(id va.PerspectiveID, addresses []string) (*grpc.ClientConn, error) {
	if tls := n.cfg.RPC.TLS; tls.CA == "" || tls.Cert == "" || tls.Key == "" {
		return nil, errors.New(`va.perspectives needs the keys rpc.tls.ca, rpc.tls.cert and rpc.tls.key with the certificate of the role va, which "cairn mtls" makes`)
	}
	conn, err := rpc.Dial(rpc.ClientConfig{
		TLS:        n.tlsFiles(),
		Role:       rpc.RolePerspective,
		Addresses:  addresses,
		ServerName: rpc.PerspectiveName(id.Name) + "." + n.cfg.RPC.Domain,
		Now:        n.now,
		Logger:     n.log("rpc").With("perspective", id.Name),
		Metrics:    n.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("perspective %s: %w", id.Name, err)
	}
	n.addCloser(conn.Close)
	return conn, nil
}

// perspectiveFlags make "cairn va" a remote perspective.
type perspectiveFlags struct{ name, region string }

func (f *perspectiveFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.name, "perspective", "", "be the remote perspective of this `NAME`")
	cmd.Flags().StringVar(&f.region, "region", "", "the `RIR` in whose region it is: AFRINIC, APNIC, ARIN, LACNIC or RIPE")
	cmd.Long += `

With --perspective and --region it is a remote network perspective, which the
validation authority asks whether it sees the same: deploy/perspectives.md.`
}

// role is the role that the flags ask for: that of a remote perspective, or
// the one that they leave as it is.
func (f perspectiveFlags) role(otherwise role) (role, error) {
	switch {
	case f.name == "" && f.region == "":
		return otherwise, nil
	case f.name == "" || f.region == "":
		return role{}, errors.New("a remote perspective has both --perspective NAME and --region RIR")
	}
	id, err := va.ParsePerspectiveID(f.name, f.region)
	if err != nil {
		return role{}, err
	}
	return role{
		name: rpc.RolePerspective, keeps: never,
		wire: func(ctx context.Context, n *instance, _ *peers) error { return wirePerspective(ctx, n, id) },
	}, nil
}

// checkPerspective finds what keeps a configuration from being a remote
// perspective's.
func checkPerspective(cfg *config.Config) error {
	switch {
	case len(cfg.VA.Perspectives) > 0:
		return errors.New("a remote perspective asks no others: take va.perspectives out of its configuration")
	case cfg.ExternalURL == "" && len(cfg.Directory.CAAIdentities) == 0:
		return errors.New("a remote perspective needs external_url, or caa_identities, as the CA has it: CAA records name this CA by it")
	}
	return nil
}

func wirePerspective(ctx context.Context, n *instance, id va.PerspectiveID) error {
	if err := checkPerspective(n.cfg); err != nil {
		return err
	}
	// The certificate is what the primary perspective knows this one by.
	name := rpc.PerspectiveName(id.Name) + "." + n.cfg.RPC.Domain
	cert, err := (fileCertificate{cert: n.cfg.RPC.TLS.Cert, key: n.cfg.RPC.TLS.Key}).get(nil)
	if err != nil {
		return err
	}
	if err := cert.Leaf.VerifyHostname(name); err != nil {
		return fmt.Errorf(`rpc.tls.cert is not the certificate of perspective %s: %w; "cairn mtls DIR --name %s" makes one`, id.Name, err, rpc.PerspectiveName(id.Name))
	}
	n.services.logger = n.services.logger.With("perspective", id.Name, "region", string(id.Region))
	n.services.audit = n.services.audit.With("perspective", id.Name, "region", string(id.Region))
	validation, err := n.newVA()
	if err != nil {
		return err
	}
	n.addLoop("DNSSEC probes", n.validationLoop)
	var directories []string
	for _, d := range n.cfg.ServedDirectories() {
		directories = append(directories, d.Name)
	}
	return n.serveRPC(ctx, rpc.RolePerspective, n.cfg.RPC.Clients.Perspective, func(s *rpc.Server) {
		va.RegisterPerspective(s, id, directories, validation)
	})
}
