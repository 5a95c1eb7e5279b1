package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/cairn-ca/cairn/internal/rpc/acmepb"
)

// level is how loudly the failure of a call is logged. What services tell each
// other in the course of things, such as a problem or that something is not
// found, is for debugging.
func level(code codes.Code) slog.Level {
	switch code {
	case codes.Internal, codes.Unknown, codes.DataLoss, codes.Unimplemented, codes.InvalidArgument:
		return slog.LevelError
	case codes.PermissionDenied, codes.Unauthenticated, codes.DeadlineExceeded, codes.Unavailable, codes.ResourceExhausted:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// observer measures calls and logs those that fail.
type observer struct {
	metrics callMetrics
	logger  *slog.Logger
	now     func() time.Time
}

func (o observer) served(ctx context.Context, fullMethod string, start time.Time, err error) {
	code, took := status.Code(err), o.now().Sub(start)
	o.metrics.observe(fullMethod, code, took)
	if err != nil {
		o.logger.Log(ctx, level(code), "a call failed", "method", fullMethod, "client", strings.Join(clientNames(ctx), ","),
			"code", code.String(), "took", took, "error", status.Convert(err).Message())
	}
}

func (o observer) unaryServer(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	start := o.now()
	resp, err := handler(ctx, req)
	o.served(ctx, info.FullMethod, start, err)
	return resp, err
}

func (o observer) streamServer(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	start := o.now()
	err := handler(srv, stream)
	o.served(stream.Context(), info.FullMethod, start, err)
	return err
}

// unaryClient logs what failed on the way; what the service itself said is
// its caller's to judge.
func (o observer) unaryClient(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	start := o.now()
	err := invoke(ctx, method, req, reply, cc, opts...)
	code, took := status.Code(err), o.now().Sub(start)
	o.metrics.observe(method, code, took)
	if err != nil && !fromService(err) {
		o.logger.Log(ctx, level(code), "a call did not get through", "method", method, "server", cc.Target(),
			"code", code.String(), "took", took, "error", status.Convert(err).Message())
	}
	return err
}

// fromService tells whether the service itself returned the error.
func fromService(err error) bool {
	for _, detail := range status.Convert(err).Details() {
		if _, ok := detail.(*acmepb.Error); ok {
			return true
		}
	}
	return false
}

// recovered turns a panic of a method into an internal error. The panic's
// value and stack go to the log alone.
func recovered(ctx context.Context, logger *slog.Logger, fullMethod string, err *error) {
	if value := recover(); value != nil {
		logger.ErrorContext(ctx, "a method panicked", "method", fullMethod, "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
		*err = status.Errorf(codes.Internal, "%s panicked", fullMethod)
	}
}

func recoverUnary(logger *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
		defer recovered(ctx, logger, info.FullMethod, &err)
		return handler(ctx, req)
	}
}

func recoverStream(logger *slog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
		defer recovered(stream.Context(), logger, info.FullMethod, &err)
		return handler(srv, stream)
	}
}
