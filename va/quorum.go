package va

import (
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// PerspectiveRequirement is what the Baseline Requirements (§3.2.2.9) ask of a
// public CA's remote perspectives from a date on.
type PerspectiveRequirement struct {
	From    time.Time
	Remotes int // how many there must be
	Regions int // in how many regions those that corroborate must stand
	Source  string
}

// PublicPerspectiveRequirements are the dates on which the rule changes, in
// their order.
var PublicPerspectiveRequirements = []PerspectiveRequirement{
	{date(2025, time.September, 15), 2, 1, "Baseline Requirements §3.2.2.9 since 2.0.6 (ballot SC-067)"},
	{date(2026, time.March, 15), 3, 2, "the same"},
	{date(2026, time.June, 15), 4, 2, "the same"},
	{date(2026, time.December, 15), 5, 2, "the same"},
}

func date(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// publicRequirementAt is the requirement that is in force at a time; the
// first one before there was any.
func publicRequirementAt(t time.Time) PerspectiveRequirement {
	current := PublicPerspectiveRequirements[0]
	for _, r := range PublicPerspectiveRequirements {
		if !t.Before(r.From) {
			current = r
		}
	}
	return current
}

// PerspectiveMode is what a directory makes of its remote perspectives.
type PerspectiveMode string

// The modes.
const (
	// PerspectivesOff asks none.
	PerspectivesOff PerspectiveMode = "off"
	// PerspectivesShadow asks all, records and counts what they saw, and
	// refuses nothing.
	PerspectivesShadow PerspectiveMode = "shadow"
	// PerspectivesRequired proves nothing without their quorum.
	PerspectivesRequired PerspectiveMode = "required"
)

// DefaultRegions is in how many regions the perspectives that corroborate must
// stand.
const DefaultRegions = 2

// leastRemotes is the least number of perspectives that has a quorum.
const leastRemotes = 2

// PerspectivePolicy is a directory's rule.
type PerspectivePolicy struct {
	Mode PerspectiveMode
	// Public tells that the public relies on the directory's certificates:
	// PublicPerspectiveRequirements hold, and the mode is PerspectivesRequired.
	Public bool
	// Regions is in how many regions the perspectives that corroborate must
	// stand; 0: DefaultRegions. A public directory's is never below what its
	// requirements say.
	Regions int
}

// needs is how many perspectives a directory that requires them must have at a
// time, and in how many regions.
func (p PerspectivePolicy) needs(t time.Time) (remotes, regions int) {
	remotes, regions = leastRemotes, p.Regions
	if regions == 0 {
		regions = DefaultRegions
	}
	if p.Public {
		required := publicRequirementAt(t)
		remotes, regions = max(remotes, required.Remotes), max(regions, required.Regions)
	}
	return remotes, regions
}

// shortage says why perspectives in the given regions can't have the quorum
// that the policy asks for at a time, whatever they see; empty: they can.
func (p PerspectivePolicy) shortage(t time.Time, perspectives []acme.Region) string {
	remotes, regions := p.needs(t)
	distinct := countRegions(perspectives, func(int) bool { return true })
	why := ""
	if p.Public {
		r := publicRequirementAt(t)
		why = fmt.Sprintf(" of a public directory since %s (Baseline Requirements §3.2.2.9)", r.From.Format(time.DateOnly))
	}
	switch {
	case len(perspectives) < remotes:
		return fmt.Sprintf("at least %d remote perspectives are required%s, and there are %d", remotes, why, len(perspectives))
	case distinct < regions:
		return fmt.Sprintf("remote perspectives in at least %d regions are required%s, and they are in %d", regions, why, distinct)
	}
	return ""
}

// quorum is the rule for one poll: Baseline Requirements §3.2.2.9.
type quorum struct {
	perspectives []acme.Region // of each perspective that is asked
	regions      int           // in which those that corroborate must stand
}

// mayDiffer is how many of a number of remote perspectives may fail to
// corroborate.
func mayDiffer(remotes int) int {
	switch {
	case remotes < leastRemotes:
		return 0
	case remotes <= 5:
		return 1
	}
	return 2
}

// count is how many perspectives corroborate, and in how many regions.
func (q quorum) count(corroborates func(i int) bool) (perspectives, regions int) {
	for i := range q.perspectives {
		if corroborates(i) {
			perspectives++
		}
	}
	return perspectives, countRegions(q.perspectives, corroborates)
}

// reached tells whether the quorum is there. More that corroborate never lose
// it.
func (q quorum) reached(corroborates func(i int) bool) bool {
	perspectives, regions := q.count(corroborates)
	return perspectives > 0 && len(q.perspectives)-perspectives <= mayDiffer(len(q.perspectives)) && regions >= q.regions
}

func countRegions(perspectives []acme.Region, counts func(i int) bool) int {
	seen := make(map[acme.Region]bool)
	for i, region := range perspectives {
		if counts(i) {
			seen[region] = true
		}
	}
	return len(seen)
}
