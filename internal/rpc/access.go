package rpc

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// Grant lets clients call a service.
type Grant struct {
	Service string   // full name, see Role.Service
	Clients []string // DNS names in the clients' certificates
	Methods []string // the methods that they may call; nil: all
}

// methods is the methods that a client may call; nil: all.
type methods map[string]bool

// access is who may call what; what is not in it is refused.
type access map[string]map[string]methods // by service and client

func newAccess(cfg ServerConfig) (access, error) {
	a := access{}
	health := slices.Clone(cfg.Health)
	for _, g := range cfg.Grants {
		if g.Methods != nil && len(g.Methods) == 0 {
			return nil, fmt.Errorf("a grant of %s to %s names no method", g.Service, strings.Join(g.Clients, ", "))
		}
		if err := a.add(g); err != nil {
			return nil, err
		}
		// Who calls a service asks for its health to choose a server.
		health = append(health, g.Clients...)
	}
	for _, g := range []Grant{
		{Service: healthpb.Health_ServiceDesc.ServiceName, Clients: health},
		{Service: grpc_reflection_v1.ServerReflection_ServiceDesc.ServiceName, Clients: cfg.Reflection},
		{Service: grpc_reflection_v1alpha.ServerReflection_ServiceDesc.ServiceName, Clients: cfg.Reflection},
	} {
		if err := a.add(g); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a access) add(g Grant) error {
	if g.Service == "" {
		return fmt.Errorf("a grant to %s names no service", strings.Join(g.Clients, ", "))
	}
	for _, client := range g.Clients {
		if client == "" {
			return fmt.Errorf("a grant of %s has an empty client name", g.Service)
		}
		// DNS names compare without regard to case.
		client = strings.ToLower(client)
		if a[g.Service] == nil {
			a[g.Service] = map[string]methods{}
		}
		had, ok := a[g.Service][client]
		switch {
		case g.Methods == nil || ok && had == nil:
			a[g.Service][client] = nil
			continue
		case !ok:
			had = methods{}
			a[g.Service][client] = had
		}
		for _, m := range g.Methods {
			had[m] = true
		}
	}
	return nil
}

// check finds grants of services and methods that do not exist, which would
// otherwise look like refusals without a reason.
func (a access) check(services map[string][]string) error {
	for _, service := range slices.Sorted(maps.Keys(a)) {
		known, ok := services[service]
		if !ok && !strings.HasPrefix(service, "grpc.") {
			return fmt.Errorf("clients are granted %s, which this server does not offer", service)
		}
		for client, granted := range a[service] {
			for m := range granted {
				if !slices.Contains(known, m) {
					return fmt.Errorf("%s is granted method %s, which %s does not have", client, m, service)
				}
			}
		}
	}
	return nil
}

// allows tells whether one of the names may call a method, given as
// "/service/method".
func (a access) allows(names []string, fullMethod string) bool {
	service, method, ok := strings.Cut(strings.TrimPrefix(fullMethod, "/"), "/")
	if !ok {
		return false
	}
	for _, name := range names {
		if granted, ok := a[service][strings.ToLower(name)]; ok && (granted == nil || granted[method]) {
			return true
		}
	}
	return false
}

// authorize refuses a call that the client's certificate gives no right to.
func (a access) authorize(ctx context.Context, fullMethod string) error {
	names := clientNames(ctx)
	if len(names) == 0 {
		return status.Error(codes.Unauthenticated, "the client's certificate has no DNS name")
	}
	if !a.allows(names, fullMethod) {
		return status.Errorf(codes.PermissionDenied, "%s may not call %s", strings.Join(names, ", "), fullMethod)
	}
	return nil
}

// clientNames is the DNS names in the verified certificate of a call's client.
func clientNames(ctx context.Context) []string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 || len(info.State.VerifiedChains[0]) == 0 {
		return nil
	}
	return info.State.VerifiedChains[0][0].DNSNames
}
