package ct

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// maxLogList bounds a log list: Chrome's has 100 kB.
const maxLogList = 4 << 20

// LogList is a log list, version 3, as Chrome publishes it.
type LogList struct {
	Timestamp time.Time
	// Logs are those that take submissions and that browsers count: usable and
	// qualified ones.
	Logs []LogConfig
}

// EnforcementTimeout is how old a list Chrome relies on, at most.
const EnforcementTimeout = 70 * 24 * time.Hour

// ParseLogList reads a log list. Logs of other states, such as retired or
// pending, are left out.
func ParseLogList(data []byte) (LogList, error) {
	if len(data) > maxLogList {
		return LogList{}, fmt.Errorf("the log list is larger than %d octets", maxLogList)
	}
	type log struct {
		Description   string `json:"description"`
		LogID         string `json:"log_id"`
		Key           string `json:"key"`
		URL           string `json:"url"`
		SubmissionURL string `json:"submission_url"`
		State         map[string]struct {
			Timestamp time.Time `json:"timestamp"`
		} `json:"state"`
		Interval struct {
			Start time.Time `json:"start_inclusive"`
			End   time.Time `json:"end_exclusive"`
		} `json:"temporal_interval"`
	}
	var list struct {
		Timestamp time.Time `json:"log_list_timestamp"`
		Operators []struct {
			Name  string `json:"name"`
			Logs  []log  `json:"logs"`
			Tiled []log  `json:"tiled_logs"`
		} `json:"operators"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return LogList{}, fmt.Errorf("reading a log list: %w", err)
	}
	result := LogList{Timestamp: list.Timestamp}
	for _, operator := range list.Operators {
		for _, l := range append(operator.Logs, operator.Tiled...) {
			_, usable := l.State["usable"]
			_, qualified := l.State["qualified"]
			if !usable && !qualified {
				continue
			}
			c := LogConfig{Name: l.Description, Operator: operator.Name, URL: l.URL, Key: l.Key, NotAfterStart: l.Interval.Start, NotAfterEnd: l.Interval.End}
			if l.SubmissionURL != "" {
				c.URL = l.SubmissionURL
			}
			checked, err := NewLog(c)
			if err != nil {
				return LogList{}, fmt.Errorf("reading a log list: %w", err)
			}
			if id, err := base64.StdEncoding.DecodeString(l.LogID); err != nil || len(id) != len(checked.ID) || [32]byte(id) != checked.ID {
				return LogList{}, fmt.Errorf("reading a log list: log_id of %q is not that of its key", l.Description)
			}
			result.Logs = append(result.Logs, c)
		}
	}
	if len(result.Logs) == 0 {
		return LogList{}, errors.New("the log list has no usable log")
	}
	return result, nil
}
