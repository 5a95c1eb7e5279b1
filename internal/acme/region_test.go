package acme

import "testing"

func TestParseRegion(t *testing.T) {
	t.Parallel()
	for _, region := range Regions {
		if got, err := ParseRegion(string(region)); err != nil || got != region {
			t.Errorf("%s is read as %q, %v", region, got, err)
		}
	}
	if got, err := ParseRegion("ripe"); err != nil || got != RIPE {
		t.Errorf("ripe is read as %q, %v", got, err)
	}
	for _, bad := range []string{"", "EU", "RIPE NCC", " ARIN", "IANA"} {
		if got, err := ParseRegion(bad); err == nil {
			t.Errorf("%q is read as %q", bad, got)
		}
	}
}
