package rpc_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/rpctest"
	"github.com/cairn-ca/cairn/internal/rpc/vapb"
)

func TestAccess(t *testing.T) {
	t.Parallel()
	service := rpc.RoleVA.Service()
	dir := rpctest.Certificates(t)
	called := func(c vapb.ValidationAuthorityClient) (validate, check error) {
		_, validate = c.Validate(t.Context(), &vapb.ValidateRequest{})
		_, check = c.CheckCAA(t.Context(), &vapb.CheckCAARequest{})
		return validate, check
	}
	for _, test := range []struct {
		name            string
		grants          []rpc.Grant
		validate, check codes.Code
	}{
		{"all methods", []rpc.Grant{{Service: service, Clients: []string{"ra.cairn.internal"}}}, codes.OK, codes.OK},
		{"without regard to case", []rpc.Grant{{Service: service, Clients: []string{"RA.Cairn.Internal"}}}, codes.OK, codes.OK},
		{"one method", []rpc.Grant{{Service: service, Clients: []string{"ra.cairn.internal"}, Methods: []string{"CheckCAA"}}}, codes.PermissionDenied, codes.OK},
		{"two grants", []rpc.Grant{
			{Service: service, Clients: []string{"ra.cairn.internal"}, Methods: []string{"CheckCAA"}},
			{Service: service, Clients: []string{"wfe.cairn.internal", "ra.cairn.internal"}, Methods: []string{"Validate"}},
		}, codes.OK, codes.OK},
		{"all, then one", []rpc.Grant{
			{Service: service, Clients: []string{"ra.cairn.internal"}},
			{Service: service, Clients: []string{"ra.cairn.internal"}, Methods: []string{"CheckCAA"}},
		}, codes.OK, codes.OK},
		{"another client's", []rpc.Grant{{Service: service, Clients: []string{"wfe.cairn.internal", "cairn.internal", "ra", "*.cairn.internal"}}}, codes.PermissionDenied, codes.PermissionDenied},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			// Health, so that the connection comes up where nothing else is granted.
			s := setup{dir: dir, server: rpc.ServerConfig{Grants: test.grants, Health: []string{"ra.cairn.internal"}}}
			validate, check := called(s.start(t))
			wantCode(t, validate, test.validate)
			wantCode(t, check, test.check)
			if log := s.log.String(); test.validate == codes.PermissionDenied &&
				!(strings.Contains(log, "level=WARN") && strings.Contains(log, "client=ra.cairn.internal") && strings.Contains(log, "method=/"+service+"/Validate")) {
				t.Errorf("the refusal is not in the log with the client's name:\n%s", log)
			}
		})
	}
}

func TestAccessOfHealthAndReflection(t *testing.T) {
	t.Parallel()
	dir := rpctest.Certificates(t)
	for _, test := range []struct {
		name               string
		server             rpc.ServerConfig
		health, reflection codes.Code
	}{
		{"neither", rpc.ServerConfig{}, codes.PermissionDenied, codes.Unimplemented},
		{"health", rpc.ServerConfig{Health: []string{"wfe.cairn.internal"}}, codes.OK, codes.Unimplemented},
		{"both", rpc.ServerConfig{Health: []string{"wfe.cairn.internal"}, Reflection: []string{"wfe.cairn.internal"}}, codes.OK, codes.OK},
		{"reflection for another", rpc.ServerConfig{Reflection: []string{"ra.cairn.internal"}}, codes.PermissionDenied, codes.PermissionDenied},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := setup{dir: dir, server: test.server}
			s.serve(t)
			// Not by rpc.Dial: without the right to health its connection never
			// comes up.
			conn := plainConn(t, dir, "wfe", s.address)
			_, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: rpc.RoleVA.Service()})
			wantCode(t, err, test.health)
			stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
			if err == nil {
				if err := stream.CloseSend(); err != nil {
					t.Fatal(err)
				}
				for err == nil {
					_, err = stream.Recv()
				}
			}
			if test.reflection == codes.OK {
				if err.Error() != "EOF" {
					t.Errorf("reflection: %v", err)
				}
				return
			}
			wantCode(t, err, test.reflection)
		})
	}
}

func TestUselessGrantsAreRefused(t *testing.T) {
	t.Parallel()
	dir := rpctest.Certificates(t, "va")
	service := rpc.RoleVA.Service()
	for name, grant := range map[string]rpc.Grant{
		"no service":      {Clients: []string{"ra.cairn.internal"}},
		"no methods":      {Service: service, Clients: []string{"ra.cairn.internal"}, Methods: []string{}},
		"empty name":      {Service: service, Clients: []string{""}},
		"unknown service": {Service: rpc.RoleCA.Service(), Clients: []string{"ra.cairn.internal"}},
		"unknown method":  {Service: service, Clients: []string{"ra.cairn.internal"}, Methods: []string{"Issue"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, err := rpc.NewServer(rpc.ServerConfig{
				TLS: rpctest.Files(dir, "va"), Grants: []rpc.Grant{grant}, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
			})
			if err == nil {
				vapb.RegisterValidationAuthorityServer(server, validation{})
				listener, failed := net.Listen("tcp", "127.0.0.1:0")
				if failed != nil {
					t.Fatal(failed)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel() // so that it ends if it is served
				err = server.Serve(ctx, listener)
			}
			if err == nil {
				t.Errorf("%+v is accepted", grant)
			}
		})
	}
}

func TestGrants(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		service rpc.Role
		client  string
		want    string // a method that is granted, "all", or "none"
	}{
		{rpc.RoleRA, "wfe.cairn.internal", "all"},
		{rpc.RoleRA, "ocsp.cairn.internal", "none"},
		{rpc.RoleVA, "ra-2.example.org", "all"},
		{rpc.RoleCA, "ra.cairn.internal", "Issue"},
		{rpc.RoleCA, "WFE-1.cairn.internal", "ServiceCertificate"},
		{rpc.RoleCA, "sa.cairn.internal", "ServiceCertificate"},
		{rpc.RoleSA, "va.cairn.internal", "none"},
		{rpc.RolePerspective, "va.cairn.internal", "all"},
		{rpc.RolePerspective, "ra.cairn.internal", "none"},
		{rpc.RolePerspective, "perspective-iad.cairn.internal", "none"},
		{rpc.RoleRA, "perspective-us-east.cairn.internal", "none"},
		{rpc.RoleVA, "perspective-us-east.cairn.internal", "none"},
		{rpc.RoleVA, "va.cairn.internal", "none"},
		{rpc.RoleCA, "perspective-us-east.cairn.internal", "none"},
		{rpc.RoleSA, "perspective-us-east.cairn.internal", "none"},
		{rpc.RoleSA, "warehouse.example.org", "all"},
	} {
		grants := rpc.Grants(test.service, []string{test.client})
		got := "none"
		if len(grants) == 1 && grants[0].Methods == nil {
			got = "all"
		} else if len(grants) == 1 {
			got = strings.Join(grants[0].Methods, " ")
		}
		if got != test.want {
			t.Errorf("of %s, %s is granted %s; want %s", test.service, test.client, got, test.want)
		}
	}
}

func plainConn(t *testing.T, dir, name, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(clientCredentials(t, dir, name)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
