package ocsp

import (
	"encoding/base64"
	"net/url"
	"strings"
)

const (
	// maxEncoded bounds the part of a GET's path that is the request: its
	// base64 with each character percent-encoded.
	maxEncoded = 3 * 4 * maxRequest / 3
	// maxLost is how many lost slashes are put back, maxReadings how many ways
	// of doing so are tried.
	maxLost     = 2
	maxReadings = 16
)

// decodePath takes the request from an escaped path: base64 of the DER, with
// its "+", "/" and "=" percent-encoded once, twice or not at all, padded or not,
// after one slash or several. A request begins with "M" in base64, so that no
// slash before it is its own.
//
// Some proxies make one slash of two. The DER says how long the base64 is to
// be; when it is shorter, each way to put the slashes back is a reading, at most
// maxReadings of them. None: the path holds no base64.
func decodePath(escaped, prefix string) [][]byte {
	rest, ok := strings.CutPrefix(escaped, prefix)
	if !ok || len(rest) > maxEncoded {
		return nil
	}
	text, err := url.PathUnescape(rest)
	if err == nil && strings.Contains(text, "%") {
		// Some proxies escape what is escaped already.
		text, err = url.PathUnescape(text)
	}
	if err != nil {
		return nil
	}
	text = strings.TrimLeft(text, "/")
	// Some clients and proxies take the path for a form's value.
	text = strings.ReplaceAll(text, " ", "+")
	text = strings.TrimRight(text, "=")
	if text == "" {
		return nil
	}
	texts := []string{text}
	if lost := encodedLength(text) - len(text); lost > 0 && lost <= maxLost {
		texts = withSlashes(text, lost)
	}
	var readings [][]byte
	for _, t := range texts {
		if der, err := base64.RawStdEncoding.DecodeString(t); err == nil {
			readings = append(readings, der)
		}
	}
	return readings
}

// encodedLength is the length of the base64 of the DER element that it begins
// with; 0 when that can't be read.
func encodedLength(text string) int {
	const start = 8
	if len(text) < start {
		return 0
	}
	head, err := base64.RawStdEncoding.DecodeString(text[:start])
	if err != nil {
		return 0
	}
	length := 0
	switch {
	case head[1] < 0x80:
		length = 2 + int(head[1])
	case head[1] == 0x81:
		length = 3 + int(head[2])
	case head[1] == 0x82:
		length = 4 + int(head[2])<<8 + int(head[3])
	}
	return base64.RawStdEncoding.EncodedLen(length)
}

// withSlashes puts n slashes, next to others, back into text.
func withSlashes(text string, n int) []string {
	var all []string
	var put func(done string, rest string, n int)
	put = func(done, rest string, n int) {
		if n == 0 {
			if len(all) < maxReadings {
				all = append(all, done+rest)
			}
			return
		}
		i := strings.IndexByte(rest, '/')
		if i < 0 || len(all) == maxReadings {
			return
		}
		done, rest = done+rest[:i+1], rest[i+1:]
		for k := n; k >= 0; k-- {
			put(done+strings.Repeat("/", k), rest, n-k)
		}
	}
	put("", text, n)
	return all
}
