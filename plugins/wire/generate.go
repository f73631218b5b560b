package wire

// Generating needs protoc (Debian's protobuf-compiler). The plugins of protoc are pinned here and nowhere else.
//
//go:generate sh -c "GOBIN=$PWD/.bin go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12"
//go:generate sh -c "GOBIN=$PWD/.bin go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.0"
//go:generate protoc -Ikarov/plugin/v1=v1 --plugin=.bin/protoc-gen-go --plugin=.bin/protoc-gen-go-grpc --go_out=. --go_opt=module=github.com/karov-crm/karov/plugins/wire --go-grpc_out=. --go-grpc_opt=module=github.com/karov-crm/karov/plugins/wire karov/plugin/v1/base.proto karov/plugin/v1/channel.proto karov/plugin/v1/host.proto karov/plugin/v1/records.proto karov/plugin/v1/store.proto karov/plugin/v1/values.proto karov/plugin/v1/views.proto karov/plugin/v1/work.proto
//go:generate rm -rf .bin
