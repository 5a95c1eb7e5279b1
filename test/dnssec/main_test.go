// Package dnssec proves DNSSEC from end to end: a real server with a signed
// tree of its own, a real validating resolver with the configuration that
// deploy/unbound has for it, and a real CA.
package dnssec

import (
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
