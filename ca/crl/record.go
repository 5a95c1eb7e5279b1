package crl

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cairn-ca/cairn/internal/acme"
)

// maxSerial is the longest serial number there is (RFC 5280 §4.1.2.2).
const maxSerial = 20

// recordSize: the length of the serial, the serial, the time and the reason.
const recordSize = 1 + maxSerial + 8 + 1

// writeRecord writes what an entry is to say, in another form than the entry
// has.
func writeRecord(w io.Writer, r revoked) error {
	var record [recordSize]byte
	serial := r.serial.Bytes()
	if len(serial) > maxSerial {
		return fmt.Errorf("the serial of certificate %s is too long", r.serial)
	}
	record[0] = byte(len(serial))
	copy(record[1:], serial)
	binary.BigEndian.PutUint64(record[1+maxSerial:], uint64(r.at))
	record[recordSize-1] = byte(r.reason)
	_, err := w.Write(record[:])
	return err
}

// records reads what writeRecord wrote.
type records struct{ in *bufio.Reader }

func readRecords(section *io.SectionReader) records {
	return records{bufio.NewReaderSize(section, 64<<10)}
}

// next is the next record; io.EOF after the last.
func (r *records) next() (revoked, error) {
	var record [recordSize]byte
	if _, err := io.ReadFull(r.in, record[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return revoked{}, io.EOF
		}
		return revoked{}, fmt.Errorf("reading what a CRL is to say: %w", err)
	}
	serial, err := acme.SerialFromBytes(record[1 : 1+min(int(record[0]), maxSerial)])
	if err != nil {
		return revoked{}, fmt.Errorf("reading what a CRL is to say: %w", err)
	}
	return revoked{serial, int64(binary.BigEndian.Uint64(record[1+maxSerial:])), acme.RevocationReason(record[recordSize-1])}, nil
}
