// What gRPC's own interop programs leave out, in the same process shapes: rich statuses, deadlines that travel, megabytes, gzip.
//
//	more server [CERT KEY [CA]]            says where it listens, and serves until it is killed
//	more client ADDRESS [CA [CERT KEY]]    says of each case what became of it
//
// With a CA a server wants a certificate of it from each caller; with CERT and KEY a client has one to show.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	spb "google.golang.org/genproto/googleapis/rpc/status"
)

const (
	wanted = "x-details-bin"
	large  = 3 << 20
)

// server is gRPC's own, and fails with the status that its caller wants.
type server struct{ testgrpc.TestServiceServer }

func (s server) UnaryCall(ctx context.Context, in *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	if values := metadata.ValueFromIncomingContext(ctx, wanted); len(values) > 0 {
		var rich spb.Status
		if err := proto.Unmarshal([]byte(values[0]), &rich); err != nil {
			return nil, err
		}
		return nil, status.ErrorProto(&rich)
	}
	if in.GetResponseCompressed().GetValue() {
		if err := grpc.SetSendCompressor(ctx, "gzip"); err != nil {
			return nil, err
		}
	}
	return s.TestServiceServer.UnaryCall(ctx, in)
}

func (s server) FullDuplexCall(stream testgrpc.TestService_FullDuplexCallServer) error {
	err := s.TestServiceServer.FullDuplexCall(stream)
	if stream.Context().Err() == context.Canceled {
		fmt.Println("cancelled")
	}
	return err
}

// trusted is the certificates in a file.
func trusted(file string) *x509.CertPool {
	pem, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		log.Fatal("no certificate in ", file)
	}
	return pool
}

// own is a certificate with its key.
func own(cert, key string) []tls.Certificate {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		log.Fatal(err)
	}
	return []tls.Certificate{pair}
}

func serve(files []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	var options []grpc.ServerOption
	if len(files) >= 2 {
		config := &tls.Config{Certificates: own(files[0], files[1])}
		if len(files) == 3 {
			config.ClientAuth = tls.RequireAndVerifyClientCert
			config.ClientCAs = trusted(files[2])
		}
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
	}
	serving := grpc.NewServer(options...)
	testgrpc.RegisterTestServiceServer(serving, server{interop.NewTestServer()})
	fmt.Println("listening on", listener.Addr())
	log.Fatal(serving.Serve(listener))
}

func payload(size int) *testpb.Payload { return &testpb.Payload{Body: make([]byte, size)} }

func deadline(ctx context.Context, client testgrpc.TestServiceClient) error {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	parameters := []*testpb.ResponseParameters{{Size: 1, IntervalUs: 30_000_000}}
	stream, err := client.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{ResponseParameters: parameters})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.DeadlineExceeded {
		return fmt.Errorf("%v instead of a deadline", err)
	}
	return nil
}

func unary(ctx context.Context, client testgrpc.TestServiceClient, options ...grpc.CallOption) error {
	reply, err := client.UnaryCall(ctx, &testpb.SimpleRequest{ResponseSize: large, Payload: payload(large)}, options...)
	if err == nil && len(reply.GetPayload().GetBody()) != large {
		err = fmt.Errorf("%d bytes", len(reply.GetPayload().GetBody()))
	}
	return err
}

func megabytes(ctx context.Context, client testgrpc.TestServiceClient) error {
	if err := unary(ctx, client); err != nil {
		return err
	}
	stream, err := client.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	go func() {
		for range 3 {
			parameters := []*testpb.ResponseParameters{{Size: large}, {Size: 1}}
			_ = stream.Send(&testpb.StreamingOutputCallRequest{ResponseParameters: parameters, Payload: payload(large)})
		}
		_ = stream.CloseSend()
	}()
	got := 0
	for {
		answer, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		got += len(answer.GetPayload().GetBody())
	}
	if got != 3*(large+1) {
		return fmt.Errorf("%d bytes", got)
	}
	return nil
}

func rich(ctx context.Context, client testgrpc.TestServiceClient) error {
	want, err := status.New(codes.FailedPrecondition, " nö ").WithDetails(wrapperspb.String("why"))
	if err != nil {
		return err
	}
	bytes, err := proto.Marshal(want.Proto())
	if err != nil {
		return err
	}
	ctx = metadata.AppendToOutgoingContext(ctx, wanted, string(bytes))
	asked := &testpb.EchoStatus{Code: int32(want.Code()), Message: want.Message()}
	_, err = client.UnaryCall(ctx, &testpb.SimpleRequest{ResponseStatus: asked})
	if got := status.Convert(err).Proto(); !proto.Equal(got, want.Proto()) {
		return fmt.Errorf("%v instead of %v", got, want.Proto())
	}
	return nil
}

func call(address string, files []string) {
	secured := insecure.NewCredentials()
	if len(files) >= 1 {
		config := &tls.Config{RootCAs: trusted(files[0])}
		if len(files) == 3 {
			config.Certificates = own(files[1], files[2])
		}
		secured = credentials.NewTLS(config)
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(secured))
	if err != nil {
		log.Fatal(err)
	}
	client := testgrpc.NewTestServiceClient(connection)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	gzip := func(ctx context.Context, client testgrpc.TestServiceClient) error {
		return unary(ctx, client, grpc.UseCompressor("gzip"))
	}
	for _, one := range []struct {
		name string
		run  func(context.Context, testgrpc.TestServiceClient) error
	}{{"fanmesh_deadline", deadline}, {"fanmesh_large", megabytes}, {"fanmesh_gzip", gzip}, {"fanmesh_rich_status", rich}} {
		if err := one.run(ctx, client); err != nil {
			fmt.Printf("%s: %v\n", one.name, err)
		} else {
			fmt.Printf("%s: ok\n", one.name)
		}
	}
}

func main() {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "server":
		serve(os.Args[2:])
	case len(os.Args) > 2 && os.Args[1] == "client":
		call(os.Args[2], os.Args[3:])
	default:
		log.Fatal("more server [CERT KEY [CA]] | more client ADDRESS [CA [CERT KEY]]")
	}
}
