//go:build cgo

package key

import (
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"
)

// lost tells whether what a library answered means that the session, the login
// or the token is gone. All answers mean that but those that refuse what was
// asked: to open a token once too often costs little.
func lost(err error) bool {
	var code pkcs11.Error
	if !errors.As(err, &code) {
		return false
	}
	switch code {
	case pkcs11.CKR_ARGUMENTS_BAD,
		pkcs11.CKR_DATA_INVALID, pkcs11.CKR_DATA_LEN_RANGE,
		pkcs11.CKR_FUNCTION_NOT_SUPPORTED, pkcs11.CKR_FUNCTION_REJECTED, pkcs11.CKR_FUNCTION_CANCELED,
		pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED, pkcs11.CKR_KEY_SIZE_RANGE, pkcs11.CKR_KEY_TYPE_INCONSISTENT,
		pkcs11.CKR_MECHANISM_INVALID, pkcs11.CKR_MECHANISM_PARAM_INVALID,
		pkcs11.CKR_ATTRIBUTE_TYPE_INVALID, pkcs11.CKR_ATTRIBUTE_SENSITIVE,
		pkcs11.CKR_SESSION_COUNT:
		return false
	}
	return true
}

// refusedPIN tells whether to try the same PIN again may lock the token.
func refusedPIN(err error) bool {
	var code pkcs11.Error
	if !errors.As(err, &code) {
		return false
	}
	switch code {
	case pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE, pkcs11.CKR_PIN_EXPIRED, pkcs11.CKR_PIN_LOCKED:
		return true
	}
	return false
}

var explanations = map[pkcs11.Error]string{
	pkcs11.CKR_PIN_INCORRECT:                "the token refused the PIN",
	pkcs11.CKR_PIN_INVALID:                  "the token refused the PIN",
	pkcs11.CKR_PIN_LEN_RANGE:                "the token refused the PIN",
	pkcs11.CKR_PIN_EXPIRED:                  "the PIN has expired; set a new one with the tools of the token",
	pkcs11.CKR_PIN_LOCKED:                   "the token has locked the PIN; have it unlocked by its security officer",
	pkcs11.CKR_USER_NOT_LOGGED_IN:           "the key needs a login: name a PIN with pin-source; keys that ask for a PIN at each signature (CKA_ALWAYS_AUTHENTICATE) can't be used",
	pkcs11.CKR_USER_PIN_NOT_INITIALIZED:     "the token has no user PIN yet; set one with the tools of the token",
	pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED:   "the key may not sign (CKA_SIGN); make one that may",
	pkcs11.CKR_MECHANISM_INVALID:            "the token can't sign in this way",
	pkcs11.CKR_TOKEN_NOT_PRESENT:            "the token is not there",
	pkcs11.CKR_DEVICE_REMOVED:               "the token was removed",
	pkcs11.CKR_SESSION_COUNT:                "the token has no more sessions; lower the number of sessions",
	pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED: "the library is in use in this process under another path; name it in one way only",
}

// explain says what the codes of PKCS#11 mean for the person who reads the
// error.
func explain(err error) error {
	var code pkcs11.Error
	if err == nil || !errors.As(err, &code) {
		return err
	}
	if text, ok := explanations[code]; ok {
		return fmt.Errorf("%s (%w)", text, err)
	}
	return err
}
