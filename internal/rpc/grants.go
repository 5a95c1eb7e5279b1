package rpc

import (
	"slices"
	"strings"
)

// What each role needs of the store. sa's tests hold the lists to the
// interfaces of the same names.
var (
	storeReader = []string{
		"Account", "AccountByKey", "Order", "Orders", "Authorization", "Certificate", "Issuer", "Issuers", "CRL",
		"RenewalOrder", "Ping", "AccountKeys",
	}
	storeAccounts = []string{
		"CreateAccount", "UpdateAccount", "ChangeAccountKey",
	}
	storeOrders = []string{
		"CreateOrder", "ReusableAuthorizations", "CreateAuthorization", "DeactivateAuthorization", "BeginValidation", "ClaimValidations",
		"RetryValidation", "CompleteValidation", "RecordCAA",
	}
	storeCertificates = []string{
		"RecordIssuance", "ClaimIssuances", "CompleteIssuance", "FailIssuance",
		"RecordPrecertificate", "RecordSCTs", "ClaimSubmissions", "CompleteSubmission", "Revoke", "Revocations",
		"LatestRevocation", "PublishCRL", "PutIssuer", "BlockKey", "KeyBlocked", "Lease",
	}
)

// needs is the methods of a service that a role calls, nil for all of them;
// false: it calls none.
func needs(service, client Role) ([]string, bool) {
	switch service {
	case RoleRA:
		return nil, client == RoleWFE
	case RoleVA:
		return nil, client == RoleRA
	case RolePerspective:
		return nil, client == RoleVA
	case RoleCA:
		if client == RoleRA {
			return []string{"Issue"}, true
		}
		// Any role may serve HTTPS with a certificate of the CA's. Perspectives
		// are elsewhere, and call nobody.
		return []string{"ServiceCertificate"}, client != RolePerspective
	case RoleSA:
		switch client {
		case RoleWFE:
			return storeReader, true
		case RoleOCSP:
			return []string{"Certificate", "Issuer", "Issuers", "CRL", "Ping"}, true
		case RoleRA:
			return slices.Concat(storeReader, storeAccounts, storeOrders,
				[]string{"Revoke", "BlockKey", "KeyBlocked", "Lease", "ExternalKey", "CancelOrder", "ClaimRenewals",
					"Certificates", "KeysToSweep", "RecordKeySweep"}), true
		case RoleCA:
			return slices.Concat(storeReader, storeCertificates, []string{"RecordRenewal"}), true
		}
	}
	return nil, false
}

// defaultClients is the roles that call a service.
func defaultClients(service Role) []string {
	switch service {
	case RoleRA:
		return []string{RoleWFE.Name()}
	case RoleVA:
		return []string{RoleRA.Name()}
	case RolePerspective:
		return []string{RoleVA.Name()}
	case RoleCA:
		return []string{RoleRA.Name(), RoleWFE.Name()}
	case RoleSA:
		return []string{RoleRA.Name(), RoleCA.Name(), RoleWFE.Name(), RoleOCSP.Name()}
	}
	return nil
}

// Grants are the grants of a service to the named clients; none named: those
// that call it in Cairn, by their names in Domain. A client is held to what
// its role needs of the service, which may be nothing. Its role is the first
// label of its name, alone or before a hyphen, such as "wfe" in
// wfe.cairn.internal and in wfe-2.example.org. A name that tells no role is
// granted all of the service: the operator named it on purpose.
func Grants(service Role, clients []string) []Grant {
	if len(clients) == 0 {
		clients = defaultClients(service)
	}
	var grants []Grant
	for _, client := range clients {
		g := Grant{Service: service.Service(), Clients: []string{client}}
		if role, ok := roleOf(client); ok {
			methods, any := needs(service, role)
			if !any {
				continue
			}
			g.Methods = methods
		}
		grants = append(grants, g)
	}
	return grants
}

// roleOf is the role that a client's name tells.
func roleOf(client string) (Role, bool) {
	label, _, _ := strings.Cut(strings.ToLower(client), ".")
	role, _, _ := strings.Cut(label, "-")
	return Role(role), slices.Contains(Roles(), Role(role)) || Role(role) == RolePerspective
}
