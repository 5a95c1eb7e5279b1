package va

import (
	"context"

	"github.com/cairn-ca/cairn/va/dns"
)

// Run probes whether the DNS resolvers validate with DNSSEC, until the context
// ends. Where validation is required, nothing is validated without it.
func (v *VA) Run(ctx context.Context) error { return v.resolver.Run(ctx) }

// underDirectory is the context for the look-ups of a try: where the directory
// requires DNSSEC, every one of them does (Baseline Requirements §4.2.2.2),
// whichever challenge type makes it.
func (v *VA) underDirectory(ctx context.Context, directory string) context.Context {
	required, own := v.DirectoryRequireDNSSEC[directory]
	if !own {
		required = v.RequireDNSSEC
	}
	if required {
		return dns.RequireValidation(ctx)
	}
	return ctx
}
