package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/ca/crl"
	"github.com/cairn-ca/cairn/ca/ocsp"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/sa"
)

// signingAuthority is the signing authority of this process. On SIGHUP it reads
// ca.issuers and ca.profiles again and puts another in its own place, whole:
// issuers come, stop to issue, and go while the process runs. Work that the one
// before has begun is finished by it, or taken up by the next.
type signingAuthority struct {
	n     *instance
	store sa.Store
	// issuer is the one in the data folder.
	issuer  ca.IssuerConfig
	keys    *issuerKeys
	current atomic.Pointer[generation]
}

// generation is what signs between one reading of the configuration and the
// next.
type generation struct {
	*ca.CA
	publisher *crl.Publisher
	metrics   *takenMetrics
}

var _ ca.Authority = (*signingAuthority)(nil)

// Issue implements ca.Authority.
func (s *signingAuthority) Issue(ctx context.Context, req ca.Request) (ca.Issued, error) {
	return s.current.Load().Issue(ctx, req)
}

// ServiceCertificate implements ca.Authority.
func (s *signingAuthority) ServiceCertificate(ctx context.Context, csr []byte) ([][]byte, error) {
	return s.current.Load().ServiceCertificate(ctx, csr)
}

// OCSPSigner implements ocsp.Signers.
func (s *signingAuthority) OCSPSigner(issuer acme.IssuerID) (ocsp.Signer, error) {
	for _, signer := range s.current.Load().OCSPSigners() {
		if signer.Issuer == issuer {
			return ocsp.Signer{Key: signer.Signer, Certificate: signer.Certificate}, nil
		}
	}
	return ocsp.Signer{}, errors.New("the signing authority has none")
}

// run signs until ctx ends.
func (s *signingAuthority) run(ctx context.Context) error {
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	var ended sync.WaitGroup
	defer ended.Wait()
	for {
		g := s.current.Load()
		while, stop := context.WithCancel(ctx)
		ended.Go(func() { s.report(while, "signing", g.CA.Run(while)) })
		ended.Go(func() { s.report(while, "CRLs", g.publisher.Run(while)) })
		err := s.awaitNext(ctx, reload)
		stop()
		if err != nil {
			return nil // ctx ended
		}
	}
}

func (s *signingAuthority) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		s.n.process.logger.LogAttrs(ctx, slog.LevelError, "a part of the signing authority ended", slog.String("part", what), slog.Any("error", err))
	}
}

// awaitNext returns when another generation has taken over; an error when ctx
// ended.
func (s *signingAuthority) awaitNext(ctx context.Context, reload <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-reload:
		}
		if err := s.reload(ctx); err != nil {
			s.n.process.logger.LogAttrs(ctx, slog.LevelError, "SIGHUP: the issuers and profiles stay as they are", slog.Any("error", err))
			continue
		}
		s.n.process.logger.LogAttrs(ctx, slog.LevelInfo, "SIGHUP: issuers and profiles read again", slog.Any("issuers", s.issuerNames()))
		return nil
	}
}

func (s *signingAuthority) issuerNames() []string {
	var names []string
	for _, k := range s.current.Load().Keys() {
		names = append(names, k.ID.String())
	}
	return names
}

// reload reads the configuration again. Of what it says, issuers and profiles
// count; directories offer the profiles that they offered at the start.
func (s *signingAuthority) reload(ctx context.Context) error {
	if s.n.reload == nil {
		return errors.New("this process has no configuration file")
	}
	cfg, err := s.n.reload()
	if err != nil {
		return err
	}
	before := s.current.Load()
	before.metrics.release()
	next, err := s.generation(ctx, cfg)
	if err != nil {
		return errors.Join(err, before.metrics.again())
	}
	s.current.Store(next)
	return nil
}

// generation sets up signing. When it returns, every CRL is there: a
// certificate that is issued names one.
func (s *signingAuthority) generation(ctx context.Context, cfg *config.Config) (*generation, error) {
	g := &generation{metrics: &takenMetrics{Registerer: s.n.metrics}}
	issuers, byName, err := s.issuers(ctx, cfg)
	if err == nil {
		g.CA, err = s.n.newCA(ctx, s.store, caConfig{cfg: cfg, issuers: issuers, byName: byName, metrics: g.metrics})
	}
	if err == nil {
		g.publisher, err = s.n.newPublisher(s.store, g.CA, g.metrics)
	}
	if err == nil {
		if err = g.publisher.Publish(ctx); err != nil {
			err = fmt.Errorf("publishing the first CRLs: %w", err)
		}
	}
	if err != nil {
		g.metrics.release()
		return nil, err
	}
	return g, nil
}

// takenMetrics remembers what was registered, so that it can make room for the
// same metrics of the next generation.
type takenMetrics struct {
	prometheus.Registerer
	taken []prometheus.Collector
}

// Register implements prometheus.Registerer.
func (t *takenMetrics) Register(c prometheus.Collector) error {
	if err := t.Registerer.Register(c); err != nil {
		return err
	}
	t.taken = append(t.taken, c)
	return nil
}

func (t *takenMetrics) release() {
	for _, c := range t.taken {
		t.Registerer.Unregister(c)
	}
}

func (t *takenMetrics) again() error {
	var errs []error
	for _, c := range t.taken {
		errs = append(errs, t.Registerer.Register(c))
	}
	return errors.Join(errs...)
}
