package ra

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
	"github.com/cairn-ca/cairn/va"
)

// Config is what a registration authority works with. Every field is needed
// unless its comment says otherwise.
type Config struct {
	Store sa.Store
	VA    va.Authority
	CA    ca.Authority

	Directories []Directory
	// AccountURL is the URL of an account, byte for byte as wfe hands it out.
	AccountURL func(directory string, account acme.ID) string

	// AnswerWait is how long a request waits for the result of a validation
	// or an issuance before it answers "processing". 0: not at all.
	AnswerWait time.Duration
	// TryTimeout bounds one validation try; the lease on the work lasts a
	// little longer.
	TryTimeout time.Duration
	// Places bounds the tries that run at once; the zero value: the defaults.
	Places Places
	// Limits bounds what clients may ask for; the zero value sets no limit.
	Limits Limits
	// RevokeUnasked is how many certificates are revoked for one blocked key
	// without an operator's word.
	RevokeUnasked int

	Now     func() time.Time
	Random  io.Reader
	Logger  *slog.Logger
	Audit   *slog.Logger
	Metrics prometheus.Registerer // may be nil
}

// Directory is what the registration authority must know of a directory
// (RFC 8555 §7.1.1).
type Directory struct {
	Name string
	// Profiles are the profiles that an order may name; the first is the
	// default.
	Profiles []Profile
	// Challenges are the challenge types on offer, in the order in which
	// clients see them.
	Challenges []acme.ChallengeType
	// TermsOfService is the URL of the terms that an account must agree to;
	// empty: none.
	TermsOfService string
	// ExternalAccountRequired refuses accounts without an external account
	// binding (RFC 8555 §7.3.4).
	ExternalAccountRequired bool
	Policy                  NamePolicy

	// PendingLifetime is how long a client has to fulfil an order and its
	// authorizations; ValidLifetime how long a valid authorization is relied
	// on.
	PendingLifetime, ValidLifetime time.Duration
	// ReuseAuthorizations lets new orders rely on authorizations that the
	// account has already.
	ReuseAuthorizations bool
	// PreAuthorization lets clients authorize identifiers without an order
	// (RFC 8555 §7.4.1).
	PreAuthorization bool
	// Subdomains lets one authorization cover the names below its own
	// (RFC 9444).
	Subdomains bool
	// AutoRenewal lets clients order certificates that renew themselves
	// (RFC 8739); nil: it doesn't.
	AutoRenewal *AutoRenewalPolicy

	// Retries is how often a validation that may heal is tried again inside
	// one attempt (RFC 8555 §8.2); RetryWait is the wait before the first
	// retry, doubled for each further one.
	Retries   int
	RetryWait time.Duration
}

// Profile is what newOrder must know of a certificate profile.
type Profile struct {
	Name string
	// MaxNames bounds the identifiers of an order.
	MaxNames int
	// Identifiers are the types that the profile can certify.
	Identifiers []acme.IdentifierType
	// Validity is the longest validity period that may be asked for.
	Validity time.Duration
}

// RA is the registration authority. Its methods may be called concurrently.
type RA struct {
	Config
	directories map[string]Directory
	limits      *limiter
	places      *places
	metrics     metrics
	// owner names this process in the leases it holds.
	owner string
	// nextSweep is when Run looks for blocked keys again; Run's alone.
	nextSweep time.Time
	// work are the validations under way, so that Run can wait for them.
	work sync.WaitGroup
	// base is the context of the validations under way; stop ends it, when
	// Run has waited for them long enough.
	base context.Context
	stop context.CancelFunc
}

var _ Authority = (*RA)(nil)

// New makes a registration authority. Validations run once Run does, and
// before that as requests ask for them.
func New(cfg Config) (*RA, error) {
	if len(cfg.Directories) == 0 {
		return nil, errors.New("a registration authority needs a directory")
	}
	id, err := acme.NewID(cfg.Now(), cfg.Random)
	if err != nil {
		return nil, err
	}
	r := &RA{
		Config:      cfg,
		directories: make(map[string]Directory, len(cfg.Directories)),
		limits:      newLimiter(cfg.Limits, cfg.Now),
		places:      newPlaces(cfg.Places),
		owner:       "ra " + id.String(),
	}
	r.base, r.stop = context.WithCancel(context.Background())
	if r.metrics, err = newMetrics(cfg.Metrics, r.places); err != nil {
		return nil, err
	}
	for _, d := range cfg.Directories {
		if len(d.Profiles) == 0 || len(d.Challenges) == 0 {
			return nil, fmt.Errorf("directory %q needs a profile and a challenge type", d.Name)
		}
		if d.onionServices() && d.PendingLifetime > maxOnionNonce {
			return nil, fmt.Errorf("directory %q offers onion-csr-01: its orders must not live longer than 30 days", d.Name)
		}
		if _, twice := r.directories[d.Name]; twice {
			return nil, fmt.Errorf("two directories are named %q", d.Name)
		}
		r.directories[d.Name] = d
	}
	return r, nil
}

// directory finds a directory by its name. A name that is not configured is
// an account's whose directory was removed.
func (r *RA) directory(name string) (Directory, error) {
	d, ok := r.directories[name]
	if !ok {
		return Directory{}, acme.NewProblem(acme.Unauthorized, "the directory %q of this account is no longer served", name)
	}
	return d, nil
}

func (d Directory) profile(name string) (Profile, error) {
	if name == "" {
		return d.Profiles[0], nil
	}
	i := slices.IndexFunc(d.Profiles, func(p Profile) bool { return p.Name == name })
	if i < 0 {
		return Profile{}, acme.NewProblem(acme.InvalidProfile, "this directory has no profile of that name; its profiles are in the directory's meta object, and an order that names none gets %q", d.Profiles[0].Name)
	}
	return d.Profiles[i], nil
}
