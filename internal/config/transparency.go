package config

import (
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"time"
)

// CT is the settings of Certificate Transparency, for the profiles with ct.
type CT struct {
	// Logs is the logs that certificates are submitted to.
	Logs []CTLog `yaml:"logs"`
	// LogList is a file with a log list, version 3, whose usable and qualified
	// logs are added to Logs.
	LogList string `yaml:"log_list"`
	// SCTs is how many SCTs a certificate has; 0: as browsers want it.
	SCTs int `yaml:"scts"`
	// Operators is of how many operators their logs are, at least.
	Operators int `yaml:"operators"`
	// Timeout bounds the collecting of a certificate's SCTs, once.
	Timeout time.Duration `yaml:"timeout"`
	// HedgeAfter is how long logs may take before another is asked too.
	HedgeAfter time.Duration `yaml:"hedge_after"`
	// RetryFor is how long SCTs are asked for before an order fails.
	RetryFor time.Duration `yaml:"retry_for"`
}

// CTLog is a log. The times bound the notAfter of the certificates that it
// takes, as RFC 3339 has them; empty: no bound.
type CTLog struct {
	Name          string `yaml:"name"`
	Operator      string `yaml:"operator"`
	URL           string `yaml:"url"`
	Key           string `yaml:"key"`
	NotAfterStart string `yaml:"not_after_start"`
	NotAfterEnd   string `yaml:"not_after_end"`
}

func defaultCT() CT {
	return CT{Operators: 2, Timeout: 10 * time.Second, HedgeAfter: time.Second, RetryFor: time.Hour}
}

func (v validator) ct(c *CA) {
	for i, l := range c.CT.Logs {
		key := index("ca.ct.logs", i)
		if l.Name == "" || l.Operator == "" {
			v.fail(key, "a log needs a name and an operator")
		}
		if u, err := url.Parse(l.URL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			v.fail(key+".url", "expects the URL of a log, such as https://ct.example.org/2027h1/; found %q", l.URL)
		}
		if spki, err := base64.StdEncoding.DecodeString(l.Key); err != nil || len(spki) == 0 {
			v.fail(key+".key", "expects the base64 of the log's public key, as log lists have it")
		}
		v.moment(key+".not_after_start", l.NotAfterStart)
		v.moment(key+".not_after_end", l.NotAfterEnd)
	}
	if c.CT.SCTs < 0 || c.CT.SCTs > 10 {
		v.fail("ca.ct.scts", "expects a number from 1 to 10, or 0 for what browsers want; found %d", c.CT.SCTs)
	}
	if c.CT.Operators < 1 || c.CT.Operators > 10 {
		v.fail("ca.ct.operators", "expects a number from 1 to 10; found %d", c.CT.Operators)
	}
	v.span("ca.ct.timeout", c.CT.Timeout, 100*time.Millisecond, time.Minute)
	v.span("ca.ct.hedge_after", c.CT.HedgeAfter, 10*time.Millisecond, time.Minute)
	v.span("ca.ct.retry_for", c.CT.RetryFor, time.Second, day)
	if len(c.CT.Logs) > 0 || c.CT.LogList != "" {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(c.Profiles)) {
		if c.Profiles[name].CT {
			v.fail("ca.profiles."+name+".ct", "needs logs: name them in ca.ct.logs or ca.ct.log_list")
		}
	}
}

func (v validator) moment(key, value string) {
	if value == "" {
		return
	}
	if _, err := time.Parse(time.RFC3339, value); err != nil {
		v.fail(key, "expects a time in quotes, such as \"2027-01-01T00:00:00Z\"; found %q", value)
	}
}
