package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/cairn-ca/cairn/ca/ct"
)

// openCT makes what submits certificates to CT logs; nil: no logs are
// configured.
func (n *instance) openCT(ctx context.Context, c caConfig) (*ct.Submitter, error) {
	cfg := c.cfg.CA.CT
	var configs []ct.LogConfig
	for _, l := range cfg.Logs {
		c := ct.LogConfig{Name: l.Name, Operator: l.Operator, URL: l.URL, Key: l.Key}
		// The configuration was validated: the times can be read.
		c.NotAfterStart, _ = time.Parse(time.RFC3339, l.NotAfterStart)
		c.NotAfterEnd, _ = time.Parse(time.RFC3339, l.NotAfterEnd)
		configs = append(configs, c)
	}
	if cfg.LogList != "" {
		data, err := os.ReadFile(cfg.LogList)
		if err != nil {
			return nil, fmt.Errorf("reading ca.ct.log_list: %w", err)
		}
		list, err := ct.ParseLogList(data)
		if err != nil {
			return nil, fmt.Errorf("ca.ct.log_list %s: %w", cfg.LogList, err)
		}
		if age := n.now().Sub(list.Timestamp); age > ct.EnforcementTimeout {
			n.log("ct").LogAttrs(ctx, slog.LevelWarn, "the CT log list is old: logs may have been retired since; get the current one",
				slog.String("file", cfg.LogList), slog.Time("timestamp", list.Timestamp))
		}
		configs = append(configs, list.Logs...)
	}
	if len(configs) == 0 {
		return nil, nil
	}
	logs := make([]*ct.Log, len(configs))
	for i, c := range configs {
		var err error
		if logs[i], err = ct.NewLog(c); err != nil {
			return nil, fmt.Errorf("ca.ct: %w", err)
		}
	}
	submitter, err := ct.New(ct.Config{
		Logs:       logs,
		Policy:     ct.Policy{SCTs: cfg.SCTs, Operators: cfg.Operators},
		Timeout:    cfg.Timeout,
		HedgeAfter: cfg.HedgeAfter,
		Now:        n.now,
		Random:     n.random,
		Logger:     n.log("ct"),
		Metrics:    c.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("ca.ct: %w", err)
	}
	return submitter, nil
}
