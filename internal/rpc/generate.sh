#!/bin/sh
# Generates the Go code of the .proto files beside this script. It needs protoc
# and, of the versions in the generated files' headers, protoc-gen-go and
# protoc-gen-go-grpc.
set -eu
cd "$(dirname "$0")/../.."
for name in acme ra va perspective ca sa; do
	protoc --proto_path=. \
		--go_out=. --go_opt=module=github.com/cairn-ca/cairn \
		--go-grpc_out=. --go-grpc_opt=module=github.com/cairn-ca/cairn \
		"internal/rpc/$name.proto"
done
gofmt -w internal/rpc/*pb
