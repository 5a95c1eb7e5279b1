package ca

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The files of a hierarchy in a data folder, as paths below it. Others that
// make a hierarchy for OpenHierarchy put theirs there.
const (
	RootFile      = rootFile                           // the root, PEM
	ChainFile     = chainFile                          // the issuing certificate and those between it and the root, PEM
	RootKeyFile   = keyFolder + "/" + rootKeyFile      // optional
	IssuerKeyFile = keyFolder + "/" + intermediateFile // PKCS#8 PEM
)

// StagingFolder is where files of a hierarchy are prepared in the folder they
// are for. It is there only while they are put in place.
const StagingFolder = ".cairn-staged"

// checkStaged refuses a folder in which a ceremony or an import is not
// complete.
func checkStaged(folder string) error {
	staged := filepath.Join(folder, StagingFolder)
	switch _, err := os.Stat(staged); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("looking for %s: %w", staged, err)
	}
	return fmt.Errorf("%s is there: a ceremony or an import into %s was cut short, or is at work; run the same command again to complete or undo it", staged, folder)
}
