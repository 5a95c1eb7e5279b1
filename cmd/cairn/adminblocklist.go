package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/sa"
)

// maxBlockList is how many keys one list blocks at most. Far longer lists are
// ca.weak_keys' to hold: nobody looks through the certificates for those.
const maxBlockList = 100_000

// blockedHashes are the hashes to block for the key that --key or --key-hash
// names.
func (s selection) blockedHashes() ([][32]byte, error) {
	if s.keyHash != "" {
		hash, err := s.spkiHash()
		return [][32]byte{hash}, err
	}
	spki, err := readSPKI(s.key)
	if err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	public, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, fmt.Errorf("--key: reading the public key in %s: %w", s.key, err)
	}
	return key.SPKIHashes(public, spki)
}

// blockListed blocks the keys of a list. A list that can't be read to its end
// blocks nothing; one that was cut short by an error can be given again.
func (a *admin) blockListed(ctx context.Context, file string, stdin io.Reader, comment string) error {
	hashes, err := readKeyHashes(file, stdin)
	if err != nil {
		return fmt.Errorf("--list: %w", err)
	}
	blocked, before := 0, 0
	progress := newProgress(a.tell, "blocked", len(hashes))
	defer progress.done()
	for _, hash := range hashes {
		known, err := a.store.KeyBlocked(ctx, hash)
		if err != nil {
			return err
		}
		if known {
			before++
			progress.add(1)
			continue
		}
		if err := a.store.BlockKey(ctx, sa.BlockedKey{SPKISHA256: hash, At: a.now(), By: operator(), Comment: comment}); err != nil {
			return fmt.Errorf("after %d keys: %w", blocked, err)
		}
		a.audit.LogAttrs(ctx, slog.LevelWarn, "key blocked", slog.String("spki_sha256", fmt.Sprintf("%x", hash)), slog.String("comment", comment))
		blocked++
		progress.add(1)
	}
	if a.json {
		return a.printJSON(struct {
			Blocked int `json:"blocked"`
			Before  int `json:"blocked_before"`
		}{blocked, before})
	}
	_, err = fmt.Fprintf(a.out, "%d keys are blocked; %d were before. The running CA revokes what they certify within a minute.\n", blocked, before)
	return err
}

// readKeyHashes reads a file with a hash a line; blank lines and those that
// begin with # do not count.
func readKeyHashes(file string, stdin io.Reader) ([][32]byte, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	var hashes [][32]byte
	lines := bufio.NewScanner(in)
	n := 0
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		hash, err := parseKeyHash(line)
		if err != nil {
			return nil, fmt.Errorf("line %d of %s: %w", n, file, err)
		}
		if hashes = append(hashes, hash); len(hashes) > maxBlockList {
			return nil, fmt.Errorf("%s has more than %d keys; nothing was done. Name long lists of weak keys in ca.weak_keys, or give this one in parts", file, maxBlockList)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	if len(hashes) == 0 {
		return nil, fmt.Errorf("%s has no hash", file)
	}
	return hashes, nil
}
