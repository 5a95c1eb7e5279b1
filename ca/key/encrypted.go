package key

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.step.sm/crypto/pemutil"
	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// PEMEncryptedPrivateKey is the PEM type of an encrypted PKCS#8 key (RFC 7468
// §11).
const PEMEncryptedPrivateKey = "ENCRYPTED PRIVATE KEY"

// ErrPassphrase is wrapped when a passphrase does not open a key.
var ErrPassphrase = errors.New("the passphrase does not open the key")

// Passphrase gives the passphrase of a key. It is called when one is needed,
// and may ask a person.
type Passphrase func() ([]byte, error)

// EncodeEncrypted is a private key in PKCS#8 PEM, encrypted by PBES2 with
// PBKDF2, HMAC-SHA-256 and AES-256-CBC (RFC 8018 §6.2), as OpenSSL reads it.
func EncodeEncrypted(random io.Reader, signer crypto.Signer, passphrase []byte) ([]byte, error) {
	if len(passphrase) == 0 {
		return nil, errors.New("encrypting a private key: the passphrase is empty")
	}
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return nil, fmt.Errorf("encoding a private key: %w", err)
	}
	block, err := pemutil.EncryptPKCS8PrivateKey(random, der, passphrase, x509.PEMCipherAES256)
	if err != nil {
		return nil, fmt.Errorf("encrypting a private key: %w", err)
	}
	return pem.EncodeToMemory(block), nil
}

// maxPEMBlocks bounds the blocks that are looked through for the key.
const maxPEMBlocks = 16

// ParsePEM reads a private key from PEM: PKCS#8, plain or encrypted (PBES2
// with PBKDF2), or the older forms PKCS#1 and SEC 1, plain or encrypted by
// RFC 1423. What stands before the key, such as EC parameters, is skipped.
func ParsePEM(data []byte, passphrase Passphrase) (crypto.Signer, error) {
	for range maxPEMBlocks {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		if strings.HasSuffix(block.Type, PEMPrivateKey) {
			return parseBlock(block, passphrase)
		}
	}
	return nil, fmt.Errorf("there is no PEM block %q (PKCS#8) in it; convert the key with: openssl pkcs8 -topk8", PEMPrivateKey)
}

// Encrypted tells whether the private key in PEM data is encrypted.
func Encrypted(data []byte) bool {
	for range maxPEMBlocks {
		block, rest := pem.Decode(data)
		if block == nil {
			return false
		}
		data = rest
		if strings.HasSuffix(block.Type, PEMPrivateKey) {
			return encrypted(block)
		}
	}
	return false
}

func encrypted(block *pem.Block) bool {
	return block.Type == PEMEncryptedPrivateKey || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED")
}

func parseBlock(block *pem.Block, passphrase Passphrase) (crypto.Signer, error) {
	if !encrypted(block) {
		return parseDER(block.Type, block.Bytes)
	}
	if passphrase == nil {
		return nil, errors.New("the key is encrypted, and no passphrase is at hand")
	}
	pkcs8 := block.Type == PEMEncryptedPrivateKey
	if pkcs8 {
		if err := checkPBES2(block.Bytes); err != nil {
			return nil, err
		}
	}
	secret, err := passphrase()
	if err != nil {
		return nil, err
	}
	der, err := pemutil.DecryptPEMBlock(block, secret)
	switch {
	case errors.Is(err, x509.IncorrectPasswordError):
		return nil, ErrPassphrase
	case err != nil:
		return nil, fmt.Errorf("decrypting a private key: %w", err)
	}
	kind := block.Type
	if pkcs8 {
		kind = PEMPrivateKey
	}
	signer, err := parseDER(kind, der)
	if err != nil {
		// The padding of a wrong decryption is right once in 256 times.
		return nil, fmt.Errorf("%w, or it is damaged", ErrPassphrase)
	}
	return signer, nil
}

// parseDER reads the content of an unencrypted PEM block of a type.
func parseDER(kind string, der []byte) (crypto.Signer, error) {
	var k crypto.Signer
	var err error
	switch kind {
	case PEMPrivateKey:
		return Parse(der)
	case "EC PRIVATE KEY":
		k, err = x509.ParseECPrivateKey(der)
	case "RSA PRIVATE KEY":
		k, err = x509.ParsePKCS1PrivateKey(der)
	default:
		return nil, fmt.Errorf("keys in a PEM block %q can't be read; convert the key with: openssl pkcs8 -topk8", kind)
	}
	if err != nil {
		return nil, fmt.Errorf("reading a private key: %w", err)
	}
	if _, err := TypeOf(k.Public()); err != nil {
		return nil, err
	}
	return k, nil
}

var (
	oidPBES2          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidHMACWithSHA1   = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}
	oidHMACWithSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidAESFamily      = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1}
)

// maxIterations bounds the work of a key derivation: some seconds.
const maxIterations = 10_000_000

// checkPBES2 checks the parameters of an encrypted PKCS#8 key (RFC 8018
// Appendix A) before they are acted on: what can't be read, or would take
// forever, is refused with a reason.
func checkPBES2(der []byte) error {
	const advice = "; write the file anew with: openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256"
	malformed := errors.New("the encrypted key is malformed; restore the file from a backup")
	input := cryptobyte.String(der)
	var whole, algorithm, parameters, derivation, kdf, scheme, data, iv cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !input.ReadASN1(&whole, cryptobyte_asn1.SEQUENCE) || !input.Empty() ||
		!whole.ReadASN1(&algorithm, cryptobyte_asn1.SEQUENCE) ||
		!whole.ReadASN1(&data, cryptobyte_asn1.OCTET_STRING) || !whole.Empty() ||
		!algorithm.ReadASN1ObjectIdentifier(&oid) {
		return malformed
	}
	if !oid.Equal(oidPBES2) {
		return fmt.Errorf("the key is encrypted in a way (%s) that is too old to be safe%s", oid, advice)
	}
	if !algorithm.ReadASN1(&parameters, cryptobyte_asn1.SEQUENCE) ||
		!parameters.ReadASN1(&derivation, cryptobyte_asn1.SEQUENCE) || !parameters.ReadASN1(&scheme, cryptobyte_asn1.SEQUENCE) ||
		!derivation.ReadASN1ObjectIdentifier(&oid) {
		return malformed
	}
	if !oid.Equal(oidPBKDF2) {
		return fmt.Errorf("the key's passphrase is derived by %s, and only PBKDF2 can be read%s", oid, advice)
	}
	if !derivation.ReadASN1(&kdf, cryptobyte_asn1.SEQUENCE) {
		return malformed
	}
	if err := checkPBKDF2(kdf, advice); err != nil {
		return err
	}
	if !scheme.ReadASN1ObjectIdentifier(&oid) {
		return malformed
	}
	const blockSize = 16
	switch family := len(oidAESFamily); {
	case len(oid) != family+1 || !oid[:family].Equal(oidAESFamily) || oid[family]%20 != 2: // the CBC modes of AES
		return fmt.Errorf("the key is encrypted by %s, and only AES in CBC mode can be read%s", oid, advice)
	case !scheme.ReadASN1(&iv, cryptobyte_asn1.OCTET_STRING) || len(iv) != blockSize || len(data) == 0 || len(data)%blockSize != 0:
		return malformed
	}
	return nil
}

func checkPBKDF2(kdf cryptobyte.String, advice string) error {
	malformed := errors.New("the encrypted key is malformed; restore the file from a backup")
	var salt, function cryptobyte.String
	var iterations int64
	if !kdf.ReadASN1(&salt, cryptobyte_asn1.OCTET_STRING) || !kdf.ReadASN1Integer(&iterations) {
		return malformed
	}
	if iterations < 1 || iterations > maxIterations {
		return fmt.Errorf("the key's passphrase is derived in %d steps; at most %d are taken%s", iterations, maxIterations, advice)
	}
	if kdf.PeekASN1Tag(cryptobyte_asn1.INTEGER) {
		return fmt.Errorf("the encrypted key states its key length, which can't be read%s", advice)
	}
	if kdf.Empty() {
		return nil // HMAC-SHA-1 by default
	}
	var oid asn1.ObjectIdentifier
	if !kdf.ReadASN1(&function, cryptobyte_asn1.SEQUENCE) || !kdf.Empty() || !function.ReadASN1ObjectIdentifier(&oid) {
		return malformed
	}
	if rest := []byte(function); len(rest) > 0 && !bytes.Equal(rest, asn1.NullBytes) {
		return malformed
	}
	if !oid.Equal(oidHMACWithSHA1) && !oid.Equal(oidHMACWithSHA256) {
		return fmt.Errorf("the key's passphrase is derived with %s, and only HMAC with SHA-256 can be read%s", oid, advice)
	}
	return nil
}
