package crl

import (
	"context"
	"io"
	"strings"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// Target is a place outside of the store that CRLs are published to: for web
// servers and networks that deliver them without asking Cairn.
type Target interface {
	// Name is the target's in metrics, leases and the log.
	Name() string
	// Shared tells whether several processes publish to the same place.
	Shared() bool
	// Number is the number of the CRL that is there under a name; 0: none is.
	Number(ctx context.Context, name string) (int64, error)
	// Put publishes a CRL under a name: whoever fetches it meanwhile gets the
	// one before or this one, whole.
	Put(ctx context.Context, name string, crl sa.CRL, der *io.SectionReader) error
}

// copyName is a CRL's name in a target: its path on the public listener.
func copyName(issuer acme.IssuerID, shard int) string {
	return strings.TrimPrefix(Path(issuer, shard), "/")
}
