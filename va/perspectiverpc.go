package va

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/vapb"
)

// errMistaken tells that a perspective is not the one that was asked.
var errMistaken = errors.New("another perspective has answered")

// NewPerspectiveClient makes an Authority of a perspective that is reached
// over gRPC. An answer counts only if it says that it comes from that very
// perspective. Calls fail at once while the perspective is away: a validation
// does not wait for one that is down.
func NewPerspectiveClient(conn grpc.ClientConnInterface, id PerspectiveID) Authority {
	return perspectiveClient{pb: vapb.NewRemotePerspectiveClient(conn), id: id}
}

// RegisterPerspective offers an Authority over gRPC as the perspective of the
// given name and region, for the named directories.
func RegisterPerspective(s grpc.ServiceRegistrar, id PerspectiveID, directories []string, impl Authority) {
	vapb.RegisterRemotePerspectiveServer(s, perspectiveServer{id: id, directories: directories, impl: impl})
}

type perspectiveClient struct {
	pb vapb.RemotePerspectiveClient
	id PerspectiveID
}

type perspectiveServer struct {
	vapb.UnimplementedRemotePerspectiveServer
	id          PerspectiveID
	directories []string
	impl        Authority
}

func (c perspectiveClient) Validate(ctx context.Context, req Request) (Result, error) {
	m, err := c.pb.Validate(ctx, &vapb.RemoteValidateRequest{Perspective: encodePerspective(c.id), Request: encodeRequest(req)}, grpc.WaitForReady(false))
	if err := c.answered(m.GetPerspective(), err); err != nil {
		return Result{}, err
	}
	return rpc.Answer(m, nil, func(d *rpc.Decoder, m *vapb.RemoteValidateResponse) Result {
		return rpc.DecodeMessage(d, "response", m.Response, decodeResult)
	})
}

func (s perspectiveServer) Validate(ctx context.Context, m *vapb.RemoteValidateRequest) (*vapb.RemoteValidateResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *vapb.RemoteValidateRequest) Request {
		return rpc.DecodeMessage(d, "request", m.Request, decodeRequest)
	})
	if err == nil {
		err = s.asked(m.Perspective, req.Directory)
	}
	if err != nil {
		return nil, err
	}
	result, err := s.impl.Validate(ctx, req)
	return &vapb.RemoteValidateResponse{Perspective: encodePerspective(s.id), Response: encodeResult(result)}, encodeError(err)
}

func (c perspectiveClient) CheckCAA(ctx context.Context, req CAARequest) (CAAResult, error) {
	m, err := c.pb.CheckCAA(ctx, &vapb.RemoteCheckCAARequest{Perspective: encodePerspective(c.id), Request: encodeCAARequest(req)}, grpc.WaitForReady(false))
	if err := c.answered(m.GetPerspective(), err); err != nil {
		return CAAResult{}, err
	}
	return rpc.Answer(m, nil, func(d *rpc.Decoder, m *vapb.RemoteCheckCAAResponse) CAAResult {
		return rpc.DecodeMessage(d, "response", m.Response, decodeCAAResult)
	})
}

func (s perspectiveServer) CheckCAA(ctx context.Context, m *vapb.RemoteCheckCAARequest) (*vapb.RemoteCheckCAAResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *vapb.RemoteCheckCAARequest) CAARequest {
		return rpc.DecodeMessage(d, "request", m.Request, decodeCAARequest)
	})
	if err == nil {
		err = s.asked(m.Perspective, req.Directory)
	}
	if err != nil {
		return nil, err
	}
	result, err := s.impl.CheckCAA(ctx, req)
	return &vapb.RemoteCheckCAAResponse{Perspective: encodePerspective(s.id), Response: encodeCAAResult(result)}, encodeError(err)
}

// answered is why an answer does not count: the call failed, or another
// perspective has answered.
func (c perspectiveClient) answered(from *vapb.PerspectiveIdentity, err error) error {
	if status.Code(err) == codes.NotFound {
		return fmt.Errorf("perspective %s: %w: %w", c.id, errMistaken, decodeError(err))
	}
	if err != nil {
		return decodeError(err)
	}
	if from.GetName() != c.id.Name || from.GetRegion() != string(c.id.Region) {
		return fmt.Errorf("perspective %s: %w: %s", c.id, errMistaken, quote(from.GetName()+" ("+from.GetRegion()+")"))
	}
	return nil
}

// asked refuses what is meant for another perspective, and what concerns a
// directory whose settings this one does not have.
func (s perspectiveServer) asked(whom *vapb.PerspectiveIdentity, directory string) error {
	switch {
	case whom.GetName() != s.id.Name || whom.GetRegion() != string(s.id.Region):
		return status.Errorf(codes.NotFound, "this is the perspective %s, not %s", s.id, quote(whom.GetName()+" ("+whom.GetRegion()+")"))
	case !slices.Contains(s.directories, directory):
		return status.Errorf(codes.InvalidArgument, "the configuration of perspective %s does not have the directory %s", s.id, quote(directory))
	}
	return nil
}

func encodePerspective(id PerspectiveID) *vapb.PerspectiveIdentity {
	return &vapb.PerspectiveIdentity{Name: id.Name, Region: string(id.Region)}
}
