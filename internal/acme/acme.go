// Package acme is the vocabulary that Cairn's services share: identifiers,
// accounts, orders, authorizations, challenges, certificates and problems, in
// the words of RFC 8555 and its extensions.
//
// Its values are parsed once, at the edge, and can't hold nonsense: an
// Identifier is canonical, a Serial is a legal serial number, an AccountKey is
// a public key that the policy accepts. The package does no I/O.
package acme
