// The servers of a Sigstore as one program: what Rekor and the certificate log store in, Fulcio, Rekor, the log.
// Trillian's storage in memory has no program of its own.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/google/certificate-transparency-go/trillian/ctfe"
	"github.com/google/certificate-transparency-go/trillian/ctfe/configpb"
	"github.com/google/trillian"
	"github.com/google/trillian/client"
	"github.com/google/trillian/crypto/keys"
	"github.com/google/trillian/crypto/keys/der"
	"github.com/google/trillian/crypto/keyspb"
	"github.com/google/trillian/extension"
	trillianlog "github.com/google/trillian/log"
	"github.com/google/trillian/monitoring"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/server"
	"github.com/google/trillian/server/admin"
	"github.com/google/trillian/server/interceptor"
	"github.com/google/trillian/storage/memory"
	"github.com/google/trillian/util/clock"
	"github.com/google/trillian/util/election2"
	fulcio "github.com/sigstore/fulcio/cmd/app"
	rekor "github.com/sigstore/rekor/cmd/rekor-server/app"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

func main() {
	name := os.Args[1]
	os.Args = append([]string{name}, os.Args[2:]...)
	switch name {
	case "trillian": // ADDRESS
		trees(os.Args[1])
	case "certificates": // ADDRESS of Trillian, ADDRESS, ROOTS.pem, KEY.der
		certificates(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	case "fulcio":
		fulcio.Execute(context.Background())
	case "rekor":
		rekor.Execute()
	}
}

func trees(address string) {
	kept := memory.NewTreeStorage()
	registry := extension.Registry{
		AdminStorage:    memory.NewAdminStorage(kept),
		LogStorage:      memory.NewLogStorage(kept, monitoring.InertMetricFactory{}),
		QuotaManager:    quota.Noop(),
		ElectionFactory: election2.NoopFactory{},
		MetricFactory:   monitoring.InertMetricFactory{},
	}
	info := trillianlog.OperationInfo{
		Registry:    registry,
		BatchSize:   100,
		NumWorkers:  1,
		RunInterval: 50 * time.Millisecond,
		TimeSource:  clock.System,
	}
	go trillianlog.NewOperationManager(info, trillianlog.NewSequencerManager(registry, 0)).OperationLoop(context.Background())
	served := grpc.NewServer(grpc.UnaryInterceptor(interceptor.ErrorWrapper))
	trillian.RegisterTrillianAdminServer(served, admin.New(registry, nil))
	trillian.RegisterTrillianLogServer(served, server.NewTrillianLogRPCServer(registry, clock.System))
	listener, err := net.Listen("tcp", address)
	must(err)
	must(served.Serve(listener))
}

func certificates(trees, address, roots, key string) {
	ctx := context.Background()
	conn, err := grpc.NewClient(trees, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	wanted := &trillian.CreateTreeRequest{Tree: &trillian.Tree{
		TreeState:       trillian.TreeState_ACTIVE,
		TreeType:        trillian.TreeType_LOG,
		MaxRootDuration: durationpb.New(time.Hour),
	}}
	rpc := trillian.NewTrillianLogClient(conn)
	tree, err := client.CreateAndInitTree(ctx, wanted, trillian.NewTrillianAdminClient(conn), rpc)
	must(err)
	held, err := os.ReadFile(key)
	must(err)
	keys.RegisterHandler(&keyspb.PrivateKey{}, der.FromProto)
	private, err := anypb.New(&keyspb.PrivateKey{Der: held})
	must(err)
	config, err := ctfe.ValidateLogConfig(&configpb.LogConfig{
		LogId:        tree.TreeId,
		Prefix:       "certificates",
		RootsPemFile: []string{roots},
		PrivateKey:   private,
		ExtKeyUsages: []string{"CodeSigning"},
	})
	must(err)
	instance, err := ctfe.SetUpInstance(ctx, ctfe.InstanceOptions{
		Validated:     config,
		Client:        rpc,
		Deadline:      10 * time.Second,
		MetricFactory: monitoring.InertMetricFactory{},
		RequestLog:    new(ctfe.DefaultRequestLog),
	})
	must(err)
	for path, handler := range instance.Handlers {
		http.Handle(path, handler)
	}
	must(http.ListenAndServe(address, nil))
}

func must(err error) {
	if err != nil {
		log.Fatal(fmt.Errorf("sigstore of the lab: %w", err))
	}
}
