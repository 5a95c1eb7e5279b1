package main

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/ra"
	"github.com/cairn-ca/cairn/sa"
	"github.com/cairn-ca/cairn/va"
	"github.com/cairn-ca/cairn/wfe"
	"github.com/cairn-ca/cairn/wfe/nonce"
)

const (
	// directoryName is the name of the directory that a configuration without
	// directories has; accounts are stored under it.
	directoryName = "default"
	directoryPath = "/directory"
	// accountTTL is how long a front end relies on an account that it has
	// read. What another process does to an account shows after that; what
	// this one does, at once.
	accountTTL = 5 * time.Second
)

// services builds each service from the configuration and the services it
// depends on. cairn serve builds all of them, a role one of them.
type services struct {
	cfg       *config.Config
	addresses addresses
	now       func() time.Time
	random    io.Reader
	logger    *slog.Logger
	audit     *slog.Logger
	metrics   prometheus.Registerer
}

func (s *services) log(service string) *slog.Logger { return s.logger.With("service", service) }

func (s *services) auditBy(service string) *slog.Logger { return s.audit.With("service", service) }

// caaIdentities are the names by which CAA records may mean this CA.
func (s *services) caaIdentities() []string {
	if len(s.cfg.Directory.CAAIdentities) > 0 {
		return s.cfg.Directory.CAAIdentities
	}
	return []string{s.addresses.externalHost()}
}

// newVA builds the validation authority.
func (s *services) newVA() (*va.VA, error) {
	v, err := va.New(va.Config{
		Resolvers:             s.cfg.VA.Resolvers,
		HTTPPort:              s.cfg.VA.HTTPPort,
		TLSPort:               s.cfg.VA.TLSPort,
		AllowPrivateAddresses: s.cfg.VA.AllowPrivateAddresses,
		CAAIdentities:         s.caaIdentities(),
		Timeout:               s.cfg.VA.Timeout,
		Random:                s.random,
		Now:                   s.now,
		Logger:                s.log("va"),
		Audit:                 s.auditBy("va"),
		Metrics:               s.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("setting up validation: %w", err)
	}
	return v, nil
}

// tryMargin is what a validation try may take beyond va.timeout before the
// registration authority takes its validation authority for gone.
const tryMargin = 5 * time.Second

// newRA builds the registration authority.
func (s *services) newRA(store sa.Store, validation va.Authority, signing ca.Authority) (*ra.RA, error) {
	offered, err := offeredProfiles(s.cfg)
	if err != nil {
		return nil, err
	}
	profiles := make([]ra.Profile, len(offered))
	for i, p := range offered {
		profiles[i] = ra.Profile{Name: p.Name, MaxNames: p.MaxNames, Identifiers: p.IdentifierTypes, Validity: p.Validity}
	}
	var limits ra.Limits
	if s.cfg.RateLimits.Enabled {
		limits = ra.DefaultLimits
	}
	d := &s.cfg.Directory
	challenges := make([]acme.ChallengeType, len(d.Challenges))
	for i, c := range d.Challenges {
		challenges[i] = acme.ChallengeType(c)
	}
	r, err := ra.New(ra.Config{
		Store: store,
		VA:    validation,
		CA:    signing,
		Directories: []ra.Directory{{
			Name:                    directoryName,
			Profiles:                profiles,
			Challenges:              challenges,
			TermsOfService:          d.TermsOfService,
			ExternalAccountRequired: d.EAB.Required,
			PendingLifetime:         d.Orders.Lifetime,
			ValidLifetime:           d.Authorizations.Lifetime,
			ReuseAuthorizations:     d.Authorizations.Reuse,
			Retries:                 d.Validation.Retries,
			RetryWait:               d.Validation.RetryWait,
		}},
		AccountURL: func(_ string, account acme.ID) string {
			return wfe.AccountURL(s.addresses.external, directoryPath, account)
		},
		AnswerWait: s.cfg.AnswerWait,
		TryTimeout: s.cfg.VA.Timeout + tryMargin,
		Limits:     limits,
		Now:        s.now,
		Random:     s.random,
		Logger:     s.log("ra"),
		Audit:      s.auditBy("ra"),
		Metrics:    s.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("setting up registration: %w", err)
	}
	return r, nil
}

// newWFE builds the front end.
func (s *services) newWFE(registration ra.Authority, store wfe.Reader) (*wfe.WFE, error) {
	offered, err := offeredProfiles(s.cfg)
	if err != nil {
		return nil, err
	}
	profiles := make(map[string]string, len(offered))
	for _, p := range offered {
		profiles[p.Name] = p.Description
	}
	nonces, err := nonce.New(s.random)
	if err != nil {
		return nil, fmt.Errorf("setting up nonces: %w", err)
	}
	d := &s.cfg.Directory
	w, err := wfe.New(wfe.Config{
		RA:     registration,
		Store:  store,
		Nonces: nonces,
		Directories: []wfe.Directory{{
			Name:                    directoryName,
			Path:                    directoryPath,
			TermsOfService:          d.TermsOfService,
			Website:                 d.Website,
			CAAIdentities:           s.caaIdentities(),
			Profiles:                profiles,
			ExternalAccountRequired: d.EAB.Required,
		}},
		ExternalURL: s.addresses.external,
		AccountTTL:  accountTTL,
		Now:         s.now,
		Logger:      s.log("wfe"),
		Metrics:     s.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("setting up the front end: %w", err)
	}
	return w, nil
}

// newListenerCertificate builds what keeps the HTTPS listeners' certificate.
func (s *services) newListenerCertificate(signing ca.Authority) *listenerCertificate {
	return &listenerCertificate{ca: signing, now: s.now, random: s.random, logger: s.log("listener")}
}
