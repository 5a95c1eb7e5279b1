package sa

import (
	"io"
	"sync"

	"google.golang.org/grpc"

	"github.com/cairn-ca/cairn/internal/rpc/sapb"
)

// NewClient makes a Store of one that is reached over gRPC. Its Close closes
// conn if conn can be closed; the store behind it stays open.
func NewClient(conn grpc.ClientConnInterface) Store {
	closing := func() error { return nil }
	if closer, ok := conn.(io.Closer); ok {
		closing = closer.Close
	}
	return client{sapb.NewStorageAuthorityClient(conn), sync.OnceValue(closing)}
}

// RegisterServer offers a Store over gRPC. Closing it is its owner's: no
// client can.
func RegisterServer(s grpc.ServiceRegistrar, impl Store) {
	sapb.RegisterStorageAuthorityServer(s, server{impl: impl})
}

type client struct {
	pb    sapb.StorageAuthorityClient
	close func() error
}

type server struct {
	sapb.UnimplementedStorageAuthorityServer
	impl Store
}
