package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path"
	"regexp"
	"strings"
	"time"
)

// publicFileName is the name of a file that is served: a CRL or a certificate,
// in DER.
var publicFileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.(crl|der)$`)

// maxPublicFile is more than the CRL of a root or a certificate has, in bytes.
const maxPublicFile = 16 << 20

// publicFiles serves the files of a folder at the root of the public listener:
// the CRLs about CAs, which are made at ceremonies, and the certificates of
// roots, to which the certificates of intermediates point (Baseline
// Requirements §7.1.2.11). A file is read for each request, so that a newer one
// is served as soon as it is there; one that is not what its name says is not
// served.
type publicFiles struct {
	folder string
	now    func() time.Time
	logger *slog.Logger
}

func (p publicFiles) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		rw.Header().Set("Allow", "GET, HEAD")
		http.Error(rw, "files are fetched with GET", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	data, modified, err := p.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		http.NotFound(rw, r)
		return
	}
	contentType, age := "application/pkix-cert", time.Hour
	if err == nil {
		if path.Ext(name) == ".crl" {
			contentType = "application/pkix-crl"
			age, err = p.checkCRL(data)
		} else {
			_, err = x509.ParseCertificate(data)
		}
	}
	if err != nil {
		p.logger.LogAttrs(r.Context(), slog.LevelError, "a file of public_files can't be served", slog.String("file", name), slog.Any("error", err))
		rw.Header().Set("Retry-After", "60")
		http.Error(rw, "the file can't be served at the moment", http.StatusServiceUnavailable)
		return
	}
	sum := sha256.Sum256(data)
	h := rw.Header()
	h.Set("Content-Type", contentType)
	h.Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	h.Set("Cache-Control", fmt.Sprintf("max-age=%d, public, no-transform", age/time.Second))
	http.ServeContent(rw, r, "", modified, bytes.NewReader(data))
}

func (p publicFiles) read(name string) ([]byte, time.Time, error) {
	if !publicFileName.MatchString(name) {
		return nil, time.Time{}, fs.ErrNotExist
	}
	root, err := os.OpenRoot(p.folder)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("opening the folder: %w", errNotFound(err))
	}
	defer root.Close()
	f, err := root.Open(name)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, time.Time{}, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxPublicFile {
		return nil, time.Time{}, errors.New("it is no file of a CRL's or a certificate's size")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPublicFile))
	return data, info.ModTime(), err
}

// errNotFound hides that the folder itself is missing: that is an operator's
// error, not an unknown name.
func errNotFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("it is not there")
	}
	return err
}

// checkCRL is how long caches may keep a CRL; an error for one that nobody may
// rely on.
func (p publicFiles) checkCRL(data []byte) (time.Duration, error) {
	list, err := x509.ParseRevocationList(data)
	if err != nil {
		return 0, fmt.Errorf("it is no CRL in DER: %w", err)
	}
	left := list.NextUpdate.Sub(p.now())
	if left <= 0 {
		return 0, fmt.Errorf("its nextUpdate, %s, has passed; make the next CRL with a ceremony", list.NextUpdate)
	}
	return min(left, time.Hour), nil
}
