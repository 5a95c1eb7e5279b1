package crl

import (
	"bufio"
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

const (
	// maxFrame bounds what a CRL holds beside its entries: names, extensions,
	// a signature.
	maxFrame = 64 << 10
	// maxEntry bounds an entry.
	maxEntry = 4 << 10
)

// document is a CRL that is read piece by piece (RFC 5280 §5.1): its entries
// stay where they are.
type document struct {
	signed  *io.SectionReader // tbsCertList, whole
	head    []byte            // what tbsCertList holds before the entries
	list    *io.SectionReader // the entries, one after the other
	tail    []byte            // the extensions, with their explicit tag
	closing []byte            // signatureAlgorithm and signatureValue
}

var errNoCRL = errors.New("it is no CRL")

// open finds the parts of a CRL.
func open(der *io.SectionReader) (*document, error) {
	tag, whole, rest, err := element(der)
	if err != nil {
		return nil, err
	}
	if tag != cryptobyte_asn1.SEQUENCE || rest.Size() != 0 {
		return nil, errNoCRL
	}
	tag, tbs, closing, err := element(whole)
	if err != nil {
		return nil, err
	}
	if tag != cryptobyte_asn1.SEQUENCE {
		return nil, errNoCRL
	}
	d := &document{
		signed: io.NewSectionReader(whole, 0, whole.Size()-closing.Size()),
		list:   io.NewSectionReader(memory(nil), 0, 0),
	}
	if d.closing, err = all(closing); err != nil {
		return nil, err
	}
	begin := io.NewSectionReader(tbs, 0, min(tbs.Size(), maxFrame))
	head, err := io.ReadAll(begin)
	if err != nil {
		return nil, err
	}
	s := cryptobyte.String(head)
	if !s.SkipOptionalASN1(cryptobyte_asn1.INTEGER) || // version
		!s.SkipASN1(cryptobyte_asn1.SEQUENCE) || // signature
		!s.SkipASN1(cryptobyte_asn1.SEQUENCE) || // issuer
		!skipTime(&s) || !skipTime(&s) {
		return nil, errNoCRL
	}
	d.head = head[:len(head)-len(s)]
	tail := io.NewSectionReader(tbs, int64(len(d.head)), tbs.Size()-int64(len(d.head)))
	if s.PeekASN1Tag(cryptobyte_asn1.SEQUENCE) { // revokedCertificates
		if _, d.list, tail, err = element(tail); err != nil {
			return nil, err
		}
	}
	if d.tail, err = all(tail); err != nil {
		return nil, err
	}
	return d, nil
}

func all(section *io.SectionReader) ([]byte, error) {
	if section.Size() > maxFrame {
		return nil, fmt.Errorf("a CRL has %d bytes beside its entries; %d at most are read", section.Size(), maxFrame)
	}
	return io.ReadAll(section)
}

// element splits a section into its first element's contents and the rest.
func element(section *io.SectionReader) (tag cryptobyte_asn1.Tag, contents, rest *io.SectionReader, err error) {
	var header [6]byte
	n, err := section.ReadAt(header[:min(int64(len(header)), section.Size())], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, nil, nil, err
	}
	length, begin, ok := lengthOf(header[:n])
	if !ok || begin+length > section.Size() {
		return 0, nil, nil, errNoCRL
	}
	end := begin + length
	return cryptobyte_asn1.Tag(header[0]), io.NewSectionReader(section, begin, length), io.NewSectionReader(section, end, section.Size()-end), nil
}

// lengthOf reads the length of an element in DER from its first bytes, and
// tells where its contents begin. Elements have less than 4 GiB.
func lengthOf(b []byte) (length, begin int64, ok bool) {
	if len(b) < 2 || b[0]&0x1f == 0x1f {
		return 0, 0, false
	}
	if b[1] < 0x80 {
		return int64(b[1]), 2, true
	}
	n := int(b[1] & 0x7f)
	if n < 1 || n > 4 || len(b) < 2+n {
		return 0, 0, false
	}
	for _, octet := range b[2 : 2+n] {
		length = length<<8 | int64(octet)
	}
	// The shortest form (X.690 §10.1).
	if length < 0x80 || n > 1 && b[2] == 0 {
		return 0, 0, false
	}
	return length, int64(2 + n), true
}

func skipTime(s *cryptobyte.String) bool {
	if s.PeekASN1Tag(cryptobyte_asn1.UTCTime) {
		return s.SkipASN1(cryptobyte_asn1.UTCTime)
	}
	return s.SkipASN1(cryptobyte_asn1.GeneralizedTime)
}

// with is the CRL with the given entries in place of its own: its signature is
// not of that.
func (d *document) with(entries []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(d.head)+len(entries)+len(d.tail)+len(d.closing)+32))
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(d.head)
			if len(entries) > 0 {
				b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(entries) })
			}
			b.AddBytes(d.tail)
		})
		b.AddBytes(d.closing)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding a part of a CRL: %w", err)
	}
	return der, nil
}

// extension is the value of a CRL extension; nil: it has none such.
func (d *document) extension(oid asn1.ObjectIdentifier) []byte {
	tail := cryptobyte.String(d.tail)
	var tagged, list cryptobyte.String
	if !tail.ReadASN1(&tagged, explicit(0)) || !tagged.ReadASN1(&list, cryptobyte_asn1.SEQUENCE) {
		return nil
	}
	for !list.Empty() {
		var extension, value cryptobyte.String
		var id asn1.ObjectIdentifier
		if !list.ReadASN1(&extension, cryptobyte_asn1.SEQUENCE) || !extension.ReadASN1ObjectIdentifier(&id) ||
			!extension.SkipOptionalASN1(cryptobyte_asn1.BOOLEAN) || !extension.ReadASN1(&value, cryptobyte_asn1.OCTET_STRING) {
			return nil
		}
		if id.Equal(oid) {
			return value
		}
	}
	return nil
}

// url is the URL that the CRL names as its own; empty: none that this package
// would write.
func (d *document) url() string {
	url, err := readPoint(d.extension(oidIssuingPoint))
	if err != nil {
		return ""
	}
	return url
}

// number is the CRL number; 0: none that this package would write.
func (d *document) number() int64 {
	value := cryptobyte.String(d.extension(oidCRLNumber))
	var n int64
	if !value.ReadASN1Integer(&n) || !value.Empty() || n < 0 {
		return 0
	}
	return n
}

// entries begins to read the entries.
func (d *document) entries() *entries { return newEntries(d.list) }

// entries iterates over the entries of a CRL.
type entries struct {
	in  *bufio.Reader
	buf []byte
	err error
}

func newEntries(section *io.SectionReader) *entries {
	return &entries{in: bufio.NewReaderSize(io.NewSectionReader(section, 0, section.Size()), 64<<10)}
}

// next is the next entry, until it is called again; false at the end, or with
// err set.
func (e *entries) next() ([]byte, bool) {
	if e.err != nil {
		return nil, false
	}
	header, err := e.in.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		e.err = err
		return nil, false
	}
	if len(header) == 0 {
		return nil, false
	}
	length, begin, ok := lengthOf(header)
	if !ok || begin+length > maxEntry || cryptobyte_asn1.Tag(header[0]) != cryptobyte_asn1.SEQUENCE {
		e.err = errors.New("an entry can't be read")
		return nil, false
	}
	if size := int(begin + length); cap(e.buf) < size {
		e.buf = make([]byte, size)
	} else {
		e.buf = e.buf[:size]
	}
	if _, err := io.ReadFull(e.in, e.buf); err != nil {
		e.err = fmt.Errorf("reading an entry: %w", err)
		return nil, false
	}
	return e.buf, true
}

// nextSerial is the magnitude of the next entry's serial.
func (e *entries) nextSerial() ([]byte, bool) {
	der, ok := e.next()
	if !ok {
		return nil, false
	}
	s := cryptobyte.String(der)
	var entry, serial cryptobyte.String
	if !s.ReadASN1(&entry, cryptobyte_asn1.SEQUENCE) || !entry.ReadASN1(&serial, cryptobyte_asn1.INTEGER) {
		e.err = errors.New("an entry can't be read")
		return nil, false
	}
	return bytes.TrimLeft(serial, "\x00"), true
}
