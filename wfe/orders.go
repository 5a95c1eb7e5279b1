package wfe

import (
	"fmt"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// OrderPage asks for a page of an account's orders.
type OrderPage = sa.OrderPage

// RenewalOrder is an operator's word on renewals.
type RenewalOrder = sa.RenewalOrder

// orders lists an account's orders (RFC 8555 §7.1.2.1), a page at a time: the
// cursor is the last order of the page before.
func (w *WFE) orders(r *request) (*response, error) {
	if err := r.onlyAsGet(); err != nil {
		return nil, err
	}
	if r.param("id") != r.account.ID.String() {
		return nil, acme.NewProblem(acme.Unauthorized, "the request is signed by another account")
	}
	page := sa.OrderPage{Account: r.account.ID, Limit: w.OrdersPerPage + 1}
	if cursor := r.URL.Query().Get("cursor"); cursor != "" {
		after, err := acme.ParseID(cursor)
		if err != nil {
			return nil, malformed("the cursor is not one from a Link header of this list")
		}
		page.After = after
	}
	ids, err := w.Store.Orders(r.Context(), page)
	if err != nil {
		return nil, fmt.Errorf("listing the orders of account %s: %w", r.account.ID, err)
	}
	resp := &response{}
	if len(ids) > w.OrdersPerPage {
		ids = ids[:w.OrdersPerPage]
		next := r.dir.ordersURL(r.account.ID) + "?cursor=" + ids[len(ids)-1].String()
		resp.links = append(resp.links, link(next, "next"))
	}
	urls := make([]string, len(ids))
	for i, id := range ids {
		urls[i] = r.dir.orderURL(id)
	}
	resp.body = struct {
		Orders []string `json:"orders"`
	}{urls}
	return resp, nil
}
