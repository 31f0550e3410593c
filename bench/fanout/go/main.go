// The floor in Go: an errgroup over the generated stubs in a grpc-go server, as one writes it by hand.
//
// The same messages and the same work as floor.py: read the JSON input, call N workers in parallel with a deadline, put their answers
// under their names. No report, no partial result, no metadata. One connection to the worker, as the others have.
//
// Arguments: the worker's port, the number of branches. Prints its port; ends when stdin does.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"time"

	pb "example.com/fanmesh/bench/gen/fanmesh/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

const patience = 1500 * time.Millisecond

type floor struct {
	pb.UnimplementedDispatcherServiceServer
	worker   pb.WorkerServiceClient
	branches []string
}

// Dispatch calls every worker and merges by name.
func (f *floor) Dispatch(ctx context.Context, request *pb.DispatchRequest) (*pb.DispatchResponse, error) {
	var input any
	if err := json.Unmarshal([]byte(request.Input.GetJson()), &input); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "input: %v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	calls, ctx := errgroup.WithContext(ctx)
	answers := make([]any, len(f.branches))
	for at, name := range f.branches {
		calls.Go(func() error {
			answer, err := f.worker.Process(ctx, &pb.ProcessRequest{Branch: name, Input: request.Input})
			if err != nil {
				return err
			}
			return json.Unmarshal([]byte(answer.Output.GetJson()), &answers[at])
		})
	}
	if err := calls.Wait(); err != nil {
		return nil, err
	}
	merged := make(map[string]any, len(answers))
	for at, name := range f.branches {
		merged[name] = answers[at]
	}
	text, err := json.Marshal(merged)
	if err != nil {
		return nil, err
	}
	return &pb.DispatchResponse{Result: &pb.Payload{Body: &pb.Payload_Json{Json: string(text)}}}, nil
}

func main() {
	width, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	branches := make([]string, width)
	for at := range branches {
		branches[at] = fmt.Sprintf("b%d", at)
	}
	connection, err := grpc.NewClient("127.0.0.1:"+os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterDispatcherServiceServer(server, &floor{worker: pb.NewWorkerServiceClient(connection), branches: branches})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		server.Stop()
	}()
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}
