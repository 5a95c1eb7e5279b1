package va

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// persistRecord is a record of dns-persist-01 that is meant for this CA.
type persistRecord struct {
	accountURI string
	wildcard   bool      // policy=wildcard
	until      time.Time // persistUntil; zero: none
}

// lastSecond is the last second that a time on the wire can name (RFC 3339).
// A later persistUntil is no end.
var lastSecond = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// parsePersistRecord reads the value of a TXT record, which is an issue-value
// of RFC 8659 §4.2. Records that name none of the issuers are not ours, no
// matter what else is in them. Of one that is, malformed says what is wrong;
// empty: nothing.
func parsePersistRecord(text string, issuers []string) (r persistRecord, ours bool, malformed string) {
	name, _ := span(skipWSP(text), func(c byte) bool { return isAlphanumeric(c) || c == '-' || c == '.' })
	name = strings.ToLower(name) // ASCII, as span has it
	if !slices.Contains(issuers, strings.TrimSuffix(name, ".")) {
		return persistRecord{}, false, ""
	}
	if strings.HasSuffix(name, ".") {
		return persistRecord{}, true, "its issuer domain name ends in a dot"
	}
	value, ok := parseCAAValue(text)
	if !ok {
		return persistRecord{}, true, "it does not follow the syntax of an issue-value (RFC 8659, section 4.2)"
	}
	seen := make(map[string]bool)
	for _, p := range value.parameters {
		tag := strings.ToLower(p.tag)
		if seen[tag] {
			return persistRecord{}, true, "it has the parameter " + quote(tag) + " twice"
		}
		seen[tag] = true
		switch tag {
		case "accounturi":
			r.accountURI = p.value
		case "policy":
			r.wildcard = strings.EqualFold(p.value, "wildcard")
		case "persistuntil":
			if r.until, ok = parsePersistUntil(p.value); !ok {
				return persistRecord{}, true, "its persistUntil is not a number of seconds since 1970"
			}
		}
	}
	if r.accountURI == "" {
		return persistRecord{}, true, "it has no accounturi"
	}
	return r, true, ""
}

// parsePersistUntil reads seconds since 1970 in base 10.
func parsePersistUntil(s string) (time.Time, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseInt(s, 10, 64)
	if err != nil || seconds > lastSecond.Unix() {
		return lastSecond, true
	}
	return time.Unix(seconds, 0).UTC(), true
}
