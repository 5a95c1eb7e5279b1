package testmode

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadKnobs(t *testing.T) {
	t.Parallel()
	standard := Knobs{SleepTime: 5, NonceReject: 5, AuthorizationReuse: 50, OrdersPerPage: 3, ChainLength: 1}
	with := func(change func(*Knobs)) Knobs {
		k := standard
		change(&k)
		return k
	}
	for _, test := range []struct {
		name, value string
		want        Knobs
	}{
		{"PEBBLE_VA_NOSLEEP", "1", with(func(k *Knobs) { k.SleepTime = 0 })},
		{"PEBBLE_VA_NOSLEEP", "True", with(func(k *Knobs) { k.SleepTime = 0 })},
		{"PEBBLE_VA_NOSLEEP", "yes", standard},
		{"PEBBLE_VA_SLEEPTIME", "15", with(func(k *Knobs) { k.SleepTime = 15 })},
		{"PEBBLE_VA_SLEEPTIME", "0", standard},
		{"PEBBLE_VA_ALWAYS_VALID", "true", with(func(k *Knobs) { k.AlwaysValid = true })},
		{"PEBBLE_WFE_NONCEREJECT", "0", with(func(k *Knobs) { k.NonceReject = 0 })},
		{"PEBBLE_WFE_NONCEREJECT", "-1", with(func(k *Knobs) { k.NonceReject = 0 })},
		{"PEBBLE_WFE_NONCEREJECT", "100", with(func(k *Knobs) { k.NonceReject = 100 })},
		{"PEBBLE_WFE_NONCEREJECT", "101", with(func(k *Knobs) { k.NonceReject = 99 })},
		{"PEBBLE_WFE_NONCEREJECT", "x", standard},
		{"PEBBLE_AUTHZREUSE", "0", with(func(k *Knobs) { k.AuthorizationReuse = 0 })},
		{"PEBBLE_AUTHZREUSE", "101", standard},
		{"PEBBLE_AUTHZREUSE", "-1", standard},
		{"PEBBLE_WFE_ORDERS_PER_PAGE", "15", with(func(k *Knobs) { k.OrdersPerPage = 15 })},
		{"PEBBLE_WFE_ORDERS_PER_PAGE", "0", standard},
		{"PEBBLE_ALTERNATE_ROOTS", "3", with(func(k *Knobs) { k.AlternateRoots = 3 })},
		{"PEBBLE_ALTERNATE_ROOTS", "1000000", with(func(k *Knobs) { k.AlternateRoots = maxAlternateRoots })},
		{"PEBBLE_CHAIN_LENGTH", "4", with(func(k *Knobs) { k.ChainLength = 4 })},
		{"PEBBLE_CHAIN_LENGTH", "0", standard},
		{"OTHER", "1", standard},
	} {
		got := ReadKnobs(func(name string) string {
			if name == test.name {
				return test.value
			}
			return ""
		})
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s=%s (-want +got):\n%s", test.name, test.value, diff)
		}
	}
}

func TestRoll(t *testing.T) {
	t.Parallel()
	for _, percent := range []int{0, 1, 50, 100} {
		happened := 0
		for i := range 100 {
			if Roll(func(int) int { return i }).happens(percent) {
				happened++
			}
		}
		if happened != percent {
			t.Errorf("%d percent happens in %d of 100", percent, happened)
		}
	}
	for range 100 {
		if n := Random(3); n < 0 || n > 2 {
			t.Fatalf("Random(3) = %d", n)
		}
	}
}
