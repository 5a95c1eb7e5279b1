package main

import (
	"fmt"
	"log/slog"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/config"
)

// readWeakKeys reads the lists of ca.weak_keys; nil: there are none.
func readWeakKeys(cfg *config.Config) (*key.WeakKeys, error) {
	if len(cfg.CA.WeakKeys) == 0 {
		return nil, nil
	}
	weak, err := key.ReadWeakKeys(cfg.CA.WeakKeys)
	if err != nil {
		return nil, fmt.Errorf("ca.weak_keys: %w", err)
	}
	return weak, nil
}

// weakKeys reads the lists and says in the log what there is. Public trust
// asks for them (Baseline Requirements §6.1.1.3).
func (n *instance) weakKeys() (*key.WeakKeys, error) {
	weak, err := readWeakKeys(n.cfg)
	if err != nil {
		return nil, err
	}
	if weak != nil {
		n.log("ca").Info("weak keys are known", slog.Int("hashes", weak.Len()), slog.Int("files", len(n.cfg.CA.WeakKeys)))
		return weak, nil
	}
	for _, d := range n.cfg.ServedDirectories() {
		if d.Public {
			n.log("ca").Warn("a public CA must refuse Debian weak keys (Baseline Requirements §6.1.1.3) and knows none; name their lists in ca.weak_keys",
				slog.String("directory", d.Name))
		}
	}
	return nil, nil
}
