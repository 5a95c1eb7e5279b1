package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// DefaultTimeout is how long a call may take when its caller says nothing.
	DefaultTimeout = 30 * time.Second
	// hopOverhead is what a server keeps of a caller's time to get its answer
	// back: an error that arrives says more than a deadline that passes.
	hopOverhead = 20 * time.Millisecond
	// usefulMinimum is the time below which a call is not begun: it could only
	// waste work on both sides.
	usefulMinimum = 50 * time.Millisecond
)

var errTooLate = status.Errorf(codes.DeadlineExceeded, "less than %v was left for the call; it was not begun", usefulMinimum)

// remaining is the time until the deadline of a context, by the clock that
// contexts go by.
func remaining(ctx context.Context) (deadline time.Time, left time.Duration, ok bool) {
	deadline, ok = ctx.Deadline()
	return deadline, time.Until(deadline), ok
}

// serverDeadline gives the method less time than its caller has.
func serverDeadline(timeout time.Duration) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		deadline, left, ok := remaining(ctx)
		switch {
		case !ok:
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		case left < usefulMinimum:
			return nil, errTooLate
		default:
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, deadline.Add(-hopOverhead))
			defer cancel()
		}
		return handler(ctx, req)
	}
}

// clientDeadline gives a call a deadline when its caller set none.
func clientDeadline(timeout time.Duration) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if ctx.Err() != nil {
			return status.FromContextError(ctx.Err()).Err()
		}
		_, left, ok := remaining(ctx)
		if ok && left < usefulMinimum {
			return errTooLate
		}
		if !ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		return invoke(ctx, method, req, reply, cc, opts...)
	}
}
