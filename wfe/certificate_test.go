package wfe

import "testing"

func TestAccepted(t *testing.T) {
	t.Parallel()
	tests := []struct {
		accept []string
		want   string
	}{
		{nil, pemChain},
		{[]string{""}, pemChain},
		{[]string{"*/*"}, pemChain},
		{[]string{"application/*"}, pemChain},
		{[]string{pemChain}, pemChain},
		{[]string{derCertificate}, derCertificate},
		{[]string{derCertificate + ", " + pemChain}, pemChain},
		{[]string{derCertificate + ";q=0.9, " + pemChain + ";q=0.5"}, derCertificate},
		{[]string{derCertificate, "*/*;q=0.1"}, derCertificate},
		{[]string{"application/pkcs7-mime"}, ""},
		{[]string{pemChain + ";q=0"}, ""},
	}
	for _, test := range tests {
		if got := accepted(test.accept); got != test.want {
			t.Errorf("accepted(%q) = %q, want %q", test.accept, got, test.want)
		}
	}
}

func TestChainIndex(t *testing.T) {
	t.Parallel()
	tests := []struct {
		param  string
		chains int
		want   int
		ok     bool
	}{
		{"", 1, 0, true}, {"1", 2, 1, true}, {"0", 2, 0, false}, {"2", 2, 0, false},
		{"01", 2, 0, false}, {"-1", 2, 0, false}, {"x", 2, 0, false}, {"", 0, 0, false},
	}
	for _, test := range tests {
		got, err := chainIndex(test.param, test.chains)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("chainIndex(%q, %d) = %d, %v", test.param, test.chains, got, err)
		}
	}
}
