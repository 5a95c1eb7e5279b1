package sa

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// CRLPartReader reads the parts of CRLs; Reader has it.
type CRLPartReader interface {
	CRLPart(ctx context.Context, part CRLPart) ([]byte, error)
}

// OpenCRL reads all of a CRL, with one part in memory at a time beside the
// first. Reads fail with an error that wraps ErrNotFound once the CRL has been
// replaced twice. The reader is for one goroutine, and for as long as ctx.
func OpenCRL(ctx context.Context, store CRLPartReader, crl CRL) *io.SectionReader {
	return io.NewSectionReader(&crlReader{ctx: ctx, store: store, crl: crl}, 0, max(crl.Size, int64(len(crl.DER))))
}

type crlReader struct {
	ctx   context.Context
	store CRLPartReader
	crl   CRL
	part  int // the number of the part in der; 0: none
	der   []byte
}

// ReadAt implements io.ReaderAt.
func (r *crlReader) ReadAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		at := offset + int64(n)
		from, err := r.at(at)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], from)
	}
	return n, nil
}

// at is what there is from an offset to the end of its part.
func (r *crlReader) at(offset int64) ([]byte, error) {
	first := int64(len(r.crl.DER))
	switch {
	case offset < 0:
		return nil, errors.New("reading a CRL before its begin")
	case offset >= r.crl.Size && offset >= first:
		return nil, io.EOF
	case offset < first:
		return r.crl.DER[offset:], nil
	}
	part, within := int((offset-first)/CRLPartSize)+1, (offset-first)%CRLPartSize
	if part != r.part {
		der, err := r.store.CRLPart(r.ctx, CRLPart{Issuer: r.crl.Issuer, Shard: r.crl.Shard, Number: r.crl.Number, Part: part})
		if err != nil {
			return nil, fmt.Errorf("reading CRL %d of issuer %s, number %d: %w", r.crl.Shard, r.crl.Issuer, r.crl.Number, err)
		}
		r.part, r.der = part, der
	}
	if within >= int64(len(r.der)) {
		return nil, fmt.Errorf("part %d of CRL %d of issuer %s is cut short", part, r.crl.Shard, r.crl.Issuer)
	}
	return r.der[within:], nil
}
