package key

import "errors"

// ErrUnavailable is wrapped by what a key answers while its token can't be
// reached. Nothing was signed.
var ErrUnavailable = errors.New("the key can't be used at the moment")

// ErrNoPKCS11 is wrapped by Open for a key on a token when the program was
// built without a C compiler, which PKCS#11 libraries need.
var ErrNoPKCS11 = errors.New("this build has no PKCS#11 support: build with CGO_ENABLED=1")
