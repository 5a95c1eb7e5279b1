package main

import (
	"crypto/rand"
	"encoding/hex"
)

// randomNames are count names under suffix that nobody has asked for before, so
// that no server can answer from an earlier authorization.
func randomNames(count int, suffix string) []string {
	names := make([]string, count)
	for i := range names {
		var label [10]byte
		rand.Read(label[:]) // never fails (crypto/rand)
		names[i] = "h" + hex.EncodeToString(label[:]) + "." + suffix
	}
	return names
}
