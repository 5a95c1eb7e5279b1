package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/ra"
	"github.com/cairn-ca/cairn/sa"
	"github.com/cairn-ca/cairn/va"
	"github.com/cairn-ca/cairn/wfe"
	"github.com/cairn-ca/cairn/wfe/nonce"
)

// accountTTL is how long a front end relies on an account that it has read.
// What another process does to an account shows after that; what this one
// does, at once.
const accountTTL = 5 * time.Second

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
	hooks     hooks
	// validationLoop is the background work of the validation authority, once
	// it is built.
	validationLoop func(context.Context) error
}

func (s *services) log(service string) *slog.Logger { return s.logger.With("service", service) }

func (s *services) auditBy(service string) *slog.Logger { return s.audit.With("service", service) }

// vaConfig is what the validation authority works with.
func (s *services) vaConfig() (va.Config, error) {
	roots, err := resolverRoots(s.cfg.VA.ResolverRoots)
	if err != nil {
		return va.Config{}, err
	}
	return va.Config{
		Resolvers:              s.cfg.VA.Resolvers,
		DNSTimeout:             s.cfg.VA.ResolverTimeout,
		DNSAttempts:            s.cfg.VA.ResolverAttempts,
		DNSKeepCase:            !s.cfg.VA.RandomizeCase,
		DNSRoots:               roots,
		DNSSECProbe:            dnssecProbe(s.cfg),
		RequireDNSSEC:          s.cfg.Directory.Validation.RequireDNSSECResolver,
		DirectoryRequireDNSSEC: directoryRequireDNSSEC(s.cfg),
		HTTPPort:               s.cfg.VA.HTTPPort,
		TLSPort:                s.cfg.VA.TLSPort,
		AllowPrivateAddresses:  s.cfg.VA.AllowPrivateAddresses,
		CAAIdentities:          s.caaIdentities(s.cfg.Directory),
		DirectoryCAAIdentities: s.directoryCAAIdentities(),
		DNSPersist:             s.vaDNSPersist(),
		Timeout:                s.cfg.VA.Timeout,
		MaxInFlight:            s.cfg.VA.MaxInFlight,
		MaxPerAddress:          s.cfg.VA.MaxPerAddress,
		Random:                 s.random,
		Now:                    s.now,
		Logger:                 s.log("va"),
		Audit:                  s.auditBy("va"),
		Metrics:                s.metrics,
	}, nil
}

// newVA builds the validation authority.
func (s *services) newVA() (va.Authority, error) {
	cfg, err := s.vaConfig()
	if err != nil {
		return nil, err
	}
	if cfg.AttestationRoots, err = s.attestationRoots(); err != nil {
		return nil, err
	}
	v, err := va.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("setting up validation: %w", err)
	}
	s.validationLoop = v.Run
	if s.hooks.validation != nil {
		return s.hooks.validation(v), nil
	}
	return v, nil
}

// tryMargin is what a validation try may take beyond va.timeout before the
// registration authority takes its validation authority for gone.
const tryMargin = 5 * time.Second

// newRA builds the registration authority.
func (s *services) newRA(store sa.Store, validation va.Authority, signing ca.Authority) (*ra.RA, error) {
	directories, err := s.raDirectories()
	if err != nil {
		return nil, err
	}
	var limits ra.Limits
	if s.cfg.RateLimits.Enabled {
		limits = ra.DefaultLimits
	}
	r, err := ra.New(ra.Config{
		Store:       store,
		VA:          validation,
		CA:          signing,
		Directories: directories,
		AccountURL:  s.accountURL(),
		AnswerWait:  s.cfg.AnswerWait,
		TryTimeout:  s.cfg.VA.Timeout + s.hooks.tryTime + tryMargin,
		Places:      ra.Places{InFlight: s.cfg.VA.MaxInFlight, PerAccount: s.cfg.VA.MaxPerAccount},
		Limits:      limits,

		RevokeUnasked: s.cfg.CA.RevokeUnasked,

		Now:     s.now,
		Random:  s.random,
		Logger:  s.log("ra"),
		Audit:   s.auditBy("ra"),
		Metrics: s.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("setting up registration: %w", err)
	}
	return r, nil
}

// newWFE builds the front end.
func (s *services) newWFE(registration ra.Authority, store wfe.Reader) (http.Handler, error) {
	directories, err := s.wfeDirectories()
	if err != nil {
		return nil, err
	}
	nonces, err := nonce.New(s.random)
	if err != nil {
		return nil, fmt.Errorf("setting up nonces: %w", err)
	}
	front := func(cfg wfe.Config) (http.Handler, error) { return wfe.New(cfg) }
	if s.hooks.front != nil {
		front = s.hooks.front
	}
	w, err := front(wfe.Config{
		RA:          registration,
		Store:       store,
		Nonces:      nonces,
		Directories: directories,
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
