// Worker answers for one branch: one unary method, and the standard health service.
//
//	go run ./worker [HOST:PORT]
//
// A branch that is named in `busy` refuses its first attempt, one in `slow` takes a minute: see examples/README.md.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	pb "example.com/fanmesh/gen/fanmesh/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

type worker struct {
	pb.UnimplementedWorkerServiceServer
}

type input struct {
	Name       string
	Busy, Slow []string
}

// Process greets. The context ends when the deadline passes, and when nobody waits any more: hand it to whatever takes time.
func (worker) Process(ctx context.Context, request *pb.ProcessRequest) (*pb.ProcessResponse, error) {
	asked := input{Name: "you"}
	if err := json.Unmarshal([]byte(request.Input.GetJson()), &asked); err != nil { // a dispatcher sends JSON
		return nil, status.Errorf(codes.InvalidArgument, "input: %v", err)
	}
	if slices.Contains(asked.Busy, request.Branch) && request.Attempt == 0 {
		// It may be tried again, but not before 20 ms have passed. RESOURCE_EXHAUSTED without this trailer would be final.
		if err := grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", "20")); err != nil {
			return nil, err
		}
		return nil, status.Error(codes.ResourceExhausted, "busy")
	}
	left := int64(0)
	if deadline, ok := ctx.Deadline(); ok {
		left = time.Until(deadline).Milliseconds()
	}
	if slices.Contains(asked.Slow, request.Branch) {
		fmt.Println("this will take a minute")
		select {
		case <-time.After(time.Minute): // stands for the work
		case <-ctx.Done():
			fmt.Println("cancelled:", ctx.Err())
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
	text, err := json.Marshal(map[string]any{"hello": "Hello " + asked.Name + ", from Go", "left_ms": left})
	if err != nil {
		return nil, err
	}
	confidence := 0.9
	return &pb.ProcessResponse{Output: &pb.Payload{Body: &pb.Payload_Json{Json: string(text)}}, Confidence: &confidence}, nil
}

func main() {
	address := "127.0.0.1:50072"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterWorkerServiceServer(server, worker{})
	grpc_health_v1.RegisterHealthServer(server, health.NewServer()) // says SERVING
	go func() {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
		<-signals
		server.GracefulStop() // running calls may end
	}()
	fmt.Println("serving on port", listener.Addr().(*net.TCPAddr).Port)
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}
