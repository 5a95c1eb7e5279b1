package key

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
)

const (
	pkcs11Scheme = "pkcs11:"
	maxPKCS11URI = 4096
	// maxPIN is more than any token takes, in bytes.
	maxPIN = 256
)

// PKCS11URI names a private key on a PKCS#11 token (RFC 7512), such as
//
//	pkcs11:token=cairn;object=issuer?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/cairn/pin
type PKCS11URI struct {
	// The token, by exactly one of its label, its serial number and the number
	// of the slot that it is in (-1: not by that).
	Token, Serial string
	Slot          int
	// The key, by its label (CKA_LABEL), its identifier (CKA_ID) or both.
	Object string
	ID     []byte
	// ModulePath is the PKCS#11 library.
	ModulePath string
	// The PIN, in a file or in a variable of the environment. At most one is
	// set; neither: the token needs no login.
	PINFile, PINEnv string
}

// ParsePKCS11URI reads a PKCS#11 URI. What would be passed over is refused, as
// it would name another key than the one that was meant: attributes that are
// not known or that stand twice.
func ParsePKCS11URI(s string) (PKCS11URI, error) {
	u, err := parsePKCS11URI(s)
	if err != nil {
		// The URI itself is not repeated: it may hold a PIN.
		return PKCS11URI{}, fmt.Errorf("the PKCS#11 URI %w; expects pkcs11:token=NAME;object=KEY?module-path=/PATH/LIBRARY.so&pin-source=file:/PATH (RFC 7512)", err)
	}
	return u, nil
}

func parsePKCS11URI(s string) (PKCS11URI, error) {
	switch {
	case len(s) > maxPKCS11URI:
		return PKCS11URI{}, fmt.Errorf("has more than %d bytes", maxPKCS11URI)
	case !IsPKCS11URI(s):
		return PKCS11URI{}, errors.New("does not begin with \"pkcs11:\"")
	}
	u := PKCS11URI{Slot: -1}
	path, query, _ := strings.Cut(s[len(pkcs11Scheme):], "?")
	seen := make(map[string]bool)
	for _, part := range []struct {
		text, separator string
		set             func(name, value string) error
	}{{path, ";", u.setPath}, {query, "&", u.setQuery}} {
		if part.text == "" {
			continue
		}
		for pair := range strings.SplitSeq(part.text, part.separator) {
			name, encoded, ok := strings.Cut(pair, "=")
			if !ok {
				return PKCS11URI{}, errors.New("has an attribute without a value")
			}
			value, err := url.PathUnescape(encoded)
			switch {
			case err != nil:
				return PKCS11URI{}, fmt.Errorf("has a wrong percent-encoding in %q", name)
			case value == "":
				return PKCS11URI{}, fmt.Errorf("has an empty value for %q", name)
			case name != "id" && strings.ContainsRune(value, 0):
				return PKCS11URI{}, fmt.Errorf("has a zero byte in %q", name)
			case seen[name]:
				return PKCS11URI{}, fmt.Errorf("has %q twice", name)
			}
			seen[name] = true
			if err := part.set(name, value); err != nil {
				return PKCS11URI{}, err
			}
		}
	}
	return u, u.check()
}

// setPath takes an attribute of the path (RFC 7512 §2.3).
func (u *PKCS11URI) setPath(name, value string) error {
	switch name {
	case "token":
		u.Token = value
	case "serial":
		u.Serial = value
	case "slot-id":
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return fmt.Errorf("has the slot-id %q, which is no number", value)
		}
		u.Slot = int(n)
	case "object":
		u.Object = value
	case "id":
		u.ID = []byte(value)
	case "type":
		if value != "private" {
			return fmt.Errorf("names an object of type %q; a key that signs is of type private", value)
		}
	default:
		return fmt.Errorf("has the attribute %q, which is not supported here; name the token by token, serial or slot-id, and the key by object or id", name)
	}
	return nil
}

// setQuery takes an attribute of the query (RFC 7512 §2.4).
func (u *PKCS11URI) setQuery(name, value string) error {
	switch name {
	case "module-path":
		u.ModulePath = value
	case "pin-source":
		scheme, rest, _ := strings.Cut(value, ":")
		switch {
		case scheme == "file" && rest != "":
			// file:/path and file:///path (RFC 8089).
			u.PINFile = strings.TrimPrefix(rest, "//")
		case scheme == "env" && rest != "":
			u.PINEnv = rest
		case strings.HasPrefix(value, "/"):
			u.PINFile = value
		default:
			return errors.New("has a pin-source that is neither file:/PATH nor env:NAME")
		}
	case "pin-value":
		return errors.New("holds a PIN (pin-value); secrets are never in a configuration: write it to a file of mode 0600 and name that with pin-source=file:/PATH")
	default:
		return fmt.Errorf("has the attribute %q, which is not supported here; the query has module-path and pin-source", name)
	}
	return nil
}

func (u *PKCS11URI) check() error {
	tokens := 0
	for _, named := range []bool{u.Token != "", u.Serial != "", u.Slot >= 0} {
		if named {
			tokens++
		}
	}
	switch {
	case tokens != 1:
		return errors.New("must name the token by exactly one of token, serial and slot-id")
	case u.Object == "" && len(u.ID) == 0:
		return errors.New("must name the key by object (its label), id or both")
	case !strings.HasPrefix(u.ModulePath, "/"):
		// A bare name would be looked for in the folders of the environment.
		return errors.New("must name the PKCS#11 library by its absolute path, in module-path")
	}
	return nil
}

// String is the URI in one form, whatever was parsed. It holds no PIN.
func (u PKCS11URI) String() string {
	var path, query []string
	add := func(to *[]string, name, value string) {
		if value != "" {
			*to = append(*to, name+"="+escapePKCS11(value))
		}
	}
	add(&path, "token", u.Token)
	add(&path, "serial", u.Serial)
	if u.Slot >= 0 {
		add(&path, "slot-id", strconv.Itoa(u.Slot))
	}
	add(&path, "object", u.Object)
	add(&path, "id", string(u.ID))
	add(&query, "module-path", u.ModulePath)
	if u.PINFile != "" {
		add(&query, "pin-source", "file:"+u.PINFile)
	}
	if u.PINEnv != "" {
		add(&query, "pin-source", "env:"+u.PINEnv)
	}
	s := pkcs11Scheme + strings.Join(path, ";")
	if len(query) > 0 {
		s += "?" + strings.Join(query, "&")
	}
	return s
}

// escapePKCS11 encodes all but the characters that stand for themselves
// anywhere in such a URI (RFC 7512 §2.3).
func escapePKCS11(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/:", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// tokenName is the token in messages and metrics.
func (u PKCS11URI) tokenName() string {
	switch {
	case u.Token != "":
		return u.Token
	case u.Serial != "":
		return "serial " + u.Serial
	}
	return "slot " + strconv.Itoa(u.Slot)
}

// keyName is the key in messages.
func (u PKCS11URI) keyName() string {
	var names []string
	if u.Object != "" {
		names = append(names, strconv.Quote(u.Object))
	}
	if len(u.ID) > 0 {
		names = append(names, fmt.Sprintf("with the id %x", u.ID))
	}
	return strings.Join(names, " ")
}

// pin reads the PIN; login is false when the token needs none.
func (u PKCS11URI) pin(getenv func(string) string) (pin string, login bool, err error) {
	switch {
	case u.PINFile != "":
		data, err := ReadPrivate(u.PINFile)
		if err != nil {
			return "", false, fmt.Errorf("reading the PIN: %w", err)
		}
		pin = strings.TrimRight(string(data), "\r\n")
		if pin == "" {
			return "", false, fmt.Errorf("the PIN file %s is empty", u.PINFile)
		}
	case u.PINEnv != "":
		if pin = getenv(u.PINEnv); pin == "" {
			return "", false, fmt.Errorf("the environment has no PIN in %s; set it, or name a file with pin-source=file:/PATH", u.PINEnv)
		}
	default:
		return "", false, nil
	}
	if len(pin) > maxPIN {
		return "", false, fmt.Errorf("the PIN has more than %d bytes", maxPIN)
	}
	return pin, true, nil
}

// checkModule finds what would make the loading of the library fail with less
// of an explanation.
func (u PKCS11URI) checkModule() error {
	info, err := os.Stat(u.ModulePath)
	switch {
	case err != nil:
		return fmt.Errorf("the PKCS#11 library of module-path: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("the PKCS#11 library of module-path, %s, is not a file", u.ModulePath)
	}
	return nil
}
