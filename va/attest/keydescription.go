package attest

import (
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// oidKeyDescription is the extension by which Android's keystore attests a
// key.
var oidKeyDescription = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 1, 17}

// Values of Android's Keymaster and KeyMint.
const (
	levelTEE        = 1
	levelStrongBox  = 2
	purposeSign     = 2
	originGenerated = 0
)

var securityLevels = map[int64]string{levelTEE: "trusted execution environment", levelStrongBox: "StrongBox"}

// keyDescription is the content of the extension.
type keyDescription struct {
	attestationLevel, keyMintLevel     int64 // SecurityLevel
	challenge                          []byte
	softwareEnforced, hardwareEnforced authorizationList
}

// authorizationList is what counts of an AuthorizationList. Its members have
// the numbers of their tags in Keymaster.
type authorizationList struct {
	purposes        []int64 // 1
	allApplications bool    // 600
	origin          *int64  // 702
	serial          []byte  // 713
	imei            []byte  // 714
	meid            []byte  // 715
	secondIMEI      []byte  // 723
}

// identities are the identities of the device that the list attests.
func (l authorizationList) identities() []string {
	var all []string
	for _, identity := range [][]byte{l.serial, l.imei, l.meid, l.secondIMEI} {
		if len(identity) > 0 {
			all = append(all, string(identity))
		}
	}
	return all
}

func parseKeyDescription(der []byte) (keyDescription, bool) {
	s := cryptobyte.String(der)
	var d keyDescription
	var fields, challenge, uniqueID, software, hardware cryptobyte.String
	var version, keyMintVersion, attestationLevel, keyMintLevel int
	if !s.ReadASN1(&fields, cryptobyte_asn1.SEQUENCE) || !s.Empty() ||
		!fields.ReadASN1Integer(&version) || !fields.ReadASN1Enum(&attestationLevel) ||
		!fields.ReadASN1Integer(&keyMintVersion) || !fields.ReadASN1Enum(&keyMintLevel) ||
		!fields.ReadASN1(&challenge, cryptobyte_asn1.OCTET_STRING) || !fields.ReadASN1(&uniqueID, cryptobyte_asn1.OCTET_STRING) ||
		!fields.ReadASN1(&software, cryptobyte_asn1.SEQUENCE) || !fields.ReadASN1(&hardware, cryptobyte_asn1.SEQUENCE) ||
		!fields.Empty() {
		return keyDescription{}, false
	}
	d.attestationLevel, d.keyMintLevel, d.challenge = int64(attestationLevel), int64(keyMintLevel), challenge
	if securityLevels[d.attestationLevel] == "" && d.attestationLevel != 0 || securityLevels[d.keyMintLevel] == "" && d.keyMintLevel != 0 {
		return keyDescription{}, false // a level that nobody knows is not above others
	}
	if !d.softwareEnforced.parse(software) || !d.hardwareEnforced.parse(hardware) {
		return keyDescription{}, false
	}
	return d, true
}

// maxTags is more than the members that a list can have.
const maxTags = 128

// parse reads the members of a list, each [tag] EXPLICIT. Their tags go beyond
// what cryptobyte reads (30), so the identifier octets are read here.
func (l *authorizationList) parse(s cryptobyte.String) bool {
	seen := make(map[int]bool)
	for range maxTags {
		if s.Empty() {
			return true
		}
		tag, content, ok := readExplicit(&s)
		if !ok || seen[tag] {
			return false
		}
		seen[tag] = true
		if !l.set(tag, content) {
			return false
		}
	}
	return false
}

func (l *authorizationList) set(tag int, content cryptobyte.String) bool {
	octets := func(into *[]byte) bool {
		return content.ReadASN1((*cryptobyte.String)(into), cryptobyte_asn1.OCTET_STRING) && content.Empty()
	}
	switch tag {
	case 1:
		var set cryptobyte.String
		if !content.ReadASN1(&set, cryptobyte_asn1.SET) || !content.Empty() {
			return false
		}
		for range maxTags {
			var purpose int64
			if set.Empty() {
				return true
			}
			if !set.ReadASN1Integer(&purpose) {
				return false
			}
			l.purposes = append(l.purposes, purpose)
		}
		return false
	case 600:
		l.allApplications = true
	case 702:
		var origin int64
		if !content.ReadASN1Integer(&origin) || !content.Empty() {
			return false
		}
		l.origin = &origin
	case 713:
		return octets(&l.serial)
	case 714:
		return octets(&l.imei)
	case 715:
		return octets(&l.meid)
	case 723:
		return octets(&l.secondIMEI)
	}
	return true
}

// readExplicit reads an element of a context-specific, constructed tag of any
// number (X.690 §8.1.2.4), in DER.
func readExplicit(s *cryptobyte.String) (tag int, content cryptobyte.String, ok bool) {
	var first uint8
	if !s.ReadUint8(&first) || first&0xe0 != 0xa0 {
		return 0, nil, false
	}
	tag = int(first & 0x1f)
	if tag == 0x1f {
		tag = 0
		for i := range 3 {
			var octet uint8
			if !s.ReadUint8(&octet) || i == 0 && octet == 0x80 || i == 2 && octet&0x80 != 0 {
				return 0, nil, false
			}
			tag = tag<<7 | int(octet&0x7f)
			if octet&0x80 == 0 {
				break
			}
		}
		if tag < 0x1f {
			return 0, nil, false
		}
	}
	// What is left is a length and the content, as behind any short tag.
	short := append(cryptobyte.String{byte(cryptobyte_asn1.SEQUENCE)}, *s...)
	rest := short
	if !rest.ReadASN1(&content, cryptobyte_asn1.SEQUENCE) {
		return 0, nil, false
	}
	*s = (*s)[len(*s)-len(rest):]
	return tag, content, true
}
