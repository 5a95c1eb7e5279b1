package acme

import (
	"fmt"
	"slices"
	"strings"
)

// Region is the service region of a Regional Internet Registry, in which a
// network perspective stands (Baseline Requirements §3.2.2.9).
type Region string

// The five registries.
const (
	AFRINIC Region = "AFRINIC" // Africa
	APNIC   Region = "APNIC"   // Asia and the Pacific
	ARIN    Region = "ARIN"    // North America and parts of the Caribbean
	LACNIC  Region = "LACNIC"  // Latin America and the rest of the Caribbean
	RIPE    Region = "RIPE"    // Europe, the Middle East, Central Asia
)

// Regions are all regions.
var Regions = []Region{AFRINIC, APNIC, ARIN, LACNIC, RIPE}

// ParseRegion reads the name of a registry, in any case.
func ParseRegion(s string) (Region, error) {
	region := Region(strings.ToUpper(s))
	if !slices.Contains(Regions, region) {
		return "", fmt.Errorf("expects one of the five Regional Internet Registries, AFRINIC, APNIC, ARIN, LACNIC or RIPE; found %q", s)
	}
	return region, nil
}
