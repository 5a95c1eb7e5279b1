package crl

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// Reader is what the handler reads; sa.Reader has it.
type Reader interface {
	CRL(ctx context.Context, issuer acme.IssuerID, shard int) (sa.CRL, error)
	CRLPart(ctx context.Context, part sa.CRLPart) ([]byte, error)
}

// maxAge is how long HTTP caches may keep a CRL.
const maxAge = time.Minute

// Handler serves the published CRLs at /crl/{issuer}/{shard}.crl, in DER and
// never compressed (RFC 5280 §4.2.1.13, Baseline Requirements §7.2).
func Handler(store Reader, now func() time.Time) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			rw.Header().Set("Allow", "GET, HEAD")
			http.Error(rw, "CRLs are fetched with GET", http.StatusMethodNotAllowed)
			return
		}
		issuer, shard, ok := parsePath(req.URL.Path)
		if !ok {
			http.Error(rw, "there is no such CRL; certificates name theirs", http.StatusNotFound)
			return
		}
		list, err := store.CRL(req.Context(), issuer, shard)
		switch {
		case errors.Is(err, sa.ErrNotFound):
			http.Error(rw, "there is no such CRL; certificates name theirs", http.StatusNotFound)
			return
		case err != nil:
			rw.Header().Set("Retry-After", "5")
			http.Error(rw, "the CRL can't be read at the moment", http.StatusServiceUnavailable)
			return
		}
		h := rw.Header()
		h.Set("Content-Type", contentType)
		h.Set("ETag", `"`+strconv.FormatInt(list.Number, 16)+`"`)
		h.Set("Expires", list.NextUpdate.UTC().Format(http.TimeFormat))
		age := max(0, min(list.NextUpdate.Sub(now()), maxAge)) / time.Second
		h.Set("Cache-Control", cacheControl(int64(age)))
		// A store that fails halfway ends the connection: the client sees that
		// bytes are missing.
		http.ServeContent(rw, req, "", list.ThisUpdate, sa.OpenCRL(req.Context(), store, list))
	})
}

const contentType = "application/pkix-crl"

func cacheControl(seconds int64) string {
	return fmt.Sprintf("max-age=%d, public, no-transform, must-revalidate", seconds)
}

// Path is the path that Handler serves a CRL at.
func Path(issuer acme.IssuerID, shard int) string {
	return "/crl/" + issuer.String() + "/" + strconv.Itoa(shard) + ".crl"
}

// parsePath reads what Path writes, and no other spelling of it.
func parsePath(path string) (acme.IssuerID, int, bool) {
	parts := strings.Split(path, "/")
	if len(parts) != 4 {
		return acme.IssuerID{}, 0, false
	}
	issuer, err := acme.ParseIssuerID(parts[2])
	if err != nil {
		return acme.IssuerID{}, 0, false
	}
	name, _ := strings.CutSuffix(parts[3], ".crl")
	shard, err := strconv.Atoi(name)
	if err != nil || shard < 0 || Path(issuer, shard) != path {
		return acme.IssuerID{}, 0, false
	}
	return issuer, shard, true
}
