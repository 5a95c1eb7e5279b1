package cttest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
)

func roundTrip(n Network, r *http.Request) (*http.Response, error) {
	for _, l := range n {
		if r.URL.Host != l.Name+".test" {
			continue
		}
		w := httptest.NewRecorder()
		l.ServeHTTP(w, r)
		return w.Result(), nil
	}
	return nil, fmt.Errorf("there is no host %s", r.URL.Host)
}
