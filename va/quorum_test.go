package va

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cairn-ca/cairn/internal/acme"
)

// The rule of Baseline Requirements §3.2.2.9 over every combination of results
// of up to ten perspectives in up to five regions, told in other words than
// the code's: the table of the section, row by row.
func TestQuorumOverAllResults(t *testing.T) {
	t.Parallel()
	table := map[int]int{1: 0, 2: 1, 3: 1, 4: 1, 5: 1, 6: 2, 7: 2, 8: 2, 9: 2, 10: 2}
	for remotes, most := range table {
		for spread := 1; spread <= len(acme.Regions); spread++ {
			regions := make([]acme.Region, remotes)
			for i := range regions {
				regions[i] = acme.Regions[i%spread]
			}
			for needed := 1; needed <= 3; needed++ {
				for results := range 1 << remotes {
					failures, seen := 0, map[acme.Region]bool{}
					for i := range remotes {
						if results>>i&1 == 0 {
							failures++
						} else {
							seen[regions[i]] = true
						}
					}
					want := failures <= most && len(seen) >= needed
					got := quorum{regions, needed}.reached(func(i int) bool { return results>>i&1 == 1 })
					if got != want {
						t.Fatalf("%d remotes over %d regions, results %0*b, %d regions needed: reached is %t", remotes, spread, remotes, results, needed, got)
					}
				}
			}
		}
	}
	if (quorum{nil, 1}).reached(func(int) bool { return true }) {
		t.Error("no perspectives are a quorum")
	}
}

// One more perspective that corroborates never loses a quorum: what decides a
// poll early relies on it.
func TestQuorumIsMonotonic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		regions := rapid.SliceOfN(rapid.SampledFrom(acme.Regions), 1, 12).Draw(t, "regions")
		q := quorum{regions, rapid.IntRange(1, 5).Draw(t, "needed")}
		results := rapid.SliceOfN(rapid.Bool(), len(regions), len(regions)).Draw(t, "results")
		flip := rapid.IntRange(0, len(regions)-1).Draw(t, "flip")
		before := q.reached(func(i int) bool { return results[i] })
		after := q.reached(func(i int) bool { return results[i] || i == flip })
		if before && !after {
			t.Fatal("a corroboration lost the quorum")
		}
	})
}

func TestPerspectiveNeeds(t *testing.T) {
	t.Parallel()
	public := PerspectivePolicy{Mode: PerspectivesRequired, Public: true, Regions: 1}
	private := PerspectivePolicy{Mode: PerspectivesRequired, Regions: 1}
	at := func(s string) time.Time {
		when, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for _, test := range []struct {
		policy           PerspectivePolicy
		at               string
		remotes, regions int
	}{
		{public, "2025-01-01T00:00:00Z", 2, 1},
		{public, "2025-09-15T00:00:00Z", 2, 1},
		{public, "2026-03-14T23:59:59Z", 2, 1},
		{public, "2026-03-15T00:00:00Z", 3, 2},
		{public, "2026-06-14T23:59:59Z", 3, 2},
		{public, "2026-06-15T00:00:00Z", 4, 2},
		{public, "2026-12-14T23:59:59Z", 4, 2},
		{public, "2026-12-15T00:00:00Z", 5, 2},
		{public, "2036-12-15T00:00:00Z", 5, 2},
		{PerspectivePolicy{Mode: PerspectivesRequired, Public: true, Regions: 3}, "2026-12-15T00:00:00Z", 5, 3},
		{private, "2036-12-15T00:00:00Z", 2, 1},
		{PerspectivePolicy{Mode: PerspectivesRequired}, "2036-12-15T00:00:00Z", 2, 2},
	} {
		if remotes, regions := test.policy.needs(at(test.at)); remotes != test.remotes || regions != test.regions {
			t.Errorf("%+v at %s needs %d in %d regions, want %d in %d", test.policy, test.at, remotes, regions, test.remotes, test.regions)
		}
	}
	for i, r := range PublicPerspectiveRequirements {
		if r.Source == "" || i > 0 && !r.From.After(PublicPerspectiveRequirements[i-1].From) {
			t.Errorf("row %d is out of order, or has no source: %+v", i, r)
		}
	}
}
