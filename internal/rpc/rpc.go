// Package rpc is how Cairn's services talk to each other when each runs in a
// process of its own: gRPC with mutual TLS 1.3.
//
// It holds the protobuf files and their generated code, the conversions
// between the types of internal/acme and the shared messages, and the two ends
// of a connection: [NewServer] and [Dial]. The adapters that give a service's
// Go interface a client and a server are in the service's own package
// (ra/rpc.go and so on); nothing else converts.
//
// A connection is trusted by two things: the certificate, which chains to the
// internal CA (see [MakeCertificates]), and the DNS name in it. The client
// expects the name of the role that it calls; the server looks up, for every
// call, what the client's name may call (see [Grant]).
//
// An empty list and a list that is not there are the same on the wire, as are
// empty bytes and none: both arrive as nil.
package rpc

//go:generate ./generate.sh

import (
	"github.com/cairn-ca/cairn/internal/rpc/capb"
	"github.com/cairn-ca/cairn/internal/rpc/rapb"
	"github.com/cairn-ca/cairn/internal/rpc/sapb"
	"github.com/cairn-ca/cairn/internal/rpc/vapb"
)

// Role is one of the processes that Cairn can be split into.
type Role string

// The roles. Those that are services have a gRPC service; wfe and ocsp only
// call.
const (
	RoleWFE  Role = "wfe"
	RoleRA   Role = "ra"
	RoleVA   Role = "va"
	RoleCA   Role = "ca"
	RoleSA   Role = "sa"
	RoleOCSP Role = "ocsp"
	// RolePerspective is a remote network perspective of the validation
	// authority. There may be many, each with a name of its own: see
	// PerspectiveName.
	RolePerspective Role = "perspective"
)

// Roles is the roles that every CA has: all but RolePerspective.
func Roles() []Role { return []Role{RoleWFE, RoleRA, RoleVA, RoleSA, RoleCA, RoleOCSP} }

// Domain is where the names of the roles are, unless an operator brings
// certificates with other names.
const Domain = "cairn.internal"

// Name is the name of the role in Domain, such as "ra.cairn.internal".
func (r Role) Name() string { return string(r) + "." + Domain }

// PerspectiveName is the first label of the name of a remote perspective,
// such as "perspective-fra".
func PerspectiveName(perspective string) string { return string(RolePerspective) + "-" + perspective }

// Service is the full name of the role's gRPC service; empty for roles that
// offer none.
func (r Role) Service() string {
	switch r {
	case RoleRA:
		return rapb.RegistrationAuthority_ServiceDesc.ServiceName
	case RoleVA:
		return vapb.ValidationAuthority_ServiceDesc.ServiceName
	case RolePerspective:
		return vapb.RemotePerspective_ServiceDesc.ServiceName
	case RoleCA:
		return capb.SigningAuthority_ServiceDesc.ServiceName
	case RoleSA:
		return sapb.StorageAuthority_ServiceDesc.ServiceName
	}
	return ""
}
