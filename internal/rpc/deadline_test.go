package rpc

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestDeadlineAtServer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		left time.Duration // of the caller; 0: no deadline
		want time.Duration // of the method; 0: it is not called
	}{
		{"none", 0, 7 * time.Second},
		{"long", time.Hour, time.Hour - hopOverhead},
		{"just enough", usefulMinimum, usefulMinimum - hopOverhead},
		{"too short", usefulMinimum - 1, 0},
		{"over", -time.Second, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if test.left != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.left)
					defer cancel()
				}
				var got time.Duration
				_, err := serverDeadline(7*time.Second)(ctx, nil, nil, func(ctx context.Context, _ any) (any, error) {
					_, got, _ = remaining(ctx)
					return nil, nil
				})
				if got != test.want || (test.want == 0) != (status.Code(err) == codes.DeadlineExceeded) {
					t.Errorf("the method had %v, want %v; error %v", got, test.want, err)
				}
			})
		})
	}
}

func TestDeadlineAtClient(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		left, want time.Duration
	}{
		{"none", 0, 7 * time.Second},
		{"long", time.Hour, time.Hour},
		{"just enough", usefulMinimum, usefulMinimum},
		{"too short", usefulMinimum - 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if test.left != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.left)
					defer cancel()
				}
				var got time.Duration
				err := clientDeadline(7*time.Second)(ctx, "", nil, nil, nil, func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
					_, got, _ = remaining(ctx)
					return nil
				})
				if got != test.want || (test.want == 0) != (status.Code(err) == codes.DeadlineExceeded) {
					t.Errorf("the call had %v, want %v; error %v", got, test.want, err)
				}
			})
		})
	}
}
