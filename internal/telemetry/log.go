// Package telemetry is how Cairn can be seen from outside: the log, the audit
// log, Prometheus metrics and the health endpoints. Nothing in it is global:
// what it makes is passed to those who use it.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
)

// LogConfig says how to log.
type LogConfig struct {
	Level  string // debug, info, warn or error
	Format string // text or json
}

// NewLogger makes a logger that writes to w, one line a record, times in UTC.
func NewLogger(w io.Writer, cfg LogConfig) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		return nil, fmt.Errorf("log level %q: use debug, info, warn or error", cfg.Level)
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: utc}
	switch cfg.Format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, fmt.Errorf("log format %q: use text or json", cfg.Format)
}

// utc turns the time of a record to UTC, so that the logs of several machines
// can be laid side by side.
func utc(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	return a
}
