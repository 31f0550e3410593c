// Client calls a dispatcher: one answer, a stream, and a call that fails. What each line means: examples/README.md.
//
//	go run ./client [HOST:PORT]
//
// Begin with `make serve`, which listens on localhost:50050.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"slices"
	"time"

	pb "example.com/fanmesh/gen/fanmesh/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Contact has no IP address: that branch will have nothing to say.
const Contact = `{"phone": "+49 30 23125000", "email": "ada@example.org"}`

// Patience travels as the gRPC deadline, and bounds the workers too.
const Patience = 10 * time.Second

func main() {
	target := "localhost:50050"
	if len(os.Args) > 1 {
		target = os.Args[1]
	}
	connection, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	client := pb.NewDispatcherServiceClient(connection)
	for _, example := range []func(pb.DispatcherServiceClient) error{dispatch, stream, failing} {
		if err := example(client); err != nil {
			log.Fatal(err)
		}
	}
}

func request(input string) *pb.DispatchRequest {
	return &pb.DispatchRequest{Plan: "enrich_contact", Input: &pb.Payload{Body: &pb.Payload_Json{Json: input}}}
}

func dispatch(client pb.DispatcherServiceClient) error {
	fmt.Println("== Dispatch")
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var trailer metadata.MD
	reply, err := client.Dispatch(ctx, request(Contact), grpc.Trailer(&trailer))
	if err != nil {
		return err
	}
	show("result", reply.Result.GetJson()) // JSON because the input was; ReplyKind may ask for a Struct
	show("complete", trailer.Get("fanmesh-complete")[0])
	show("coverage", fmt.Sprintf("%.2f by %v", reply.Report.Coverage.Ratio, reply.Report.CompletedBy))
	for _, row := range reply.Report.Branches {
		if row.State == pb.BranchState_BRANCH_STATE_SUCCEEDED || row.Reason == pb.BranchReason_BRANCH_REASON_CONDITION {
			continue // it answered, or the plan did not want it for this input
		}
		show("missing", fmt.Sprintf("%s: %v %v: %s", row.Branch, row.State, row.Reason, row.Status.GetMessage()))
		for _, try := range row.Attempts {
			show("attempt", fmt.Sprintf("%s %d: %v code %d at %s", row.Branch, try.Number, try.Kind, try.Code, try.Endpoint))
		}
	}
	return nil
}

func stream(client pb.DispatcherServiceClient) error {
	fmt.Println("== DispatchStream")
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel() // whoever leaves the loop early cancels the request by this
	messages, err := client.DispatchStream(ctx, &pb.DispatchStreamRequest{Request: request(Contact), Emit: pb.EmitMode_EMIT_MODE_SNAPSHOT})
	if err != nil {
		return err
	}
	for {
		message, err := messages.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		switch event := message.Event.(type) {
		case *pb.DispatchStreamResponse_Snapshot:
			show("snapshot", fmt.Sprintf("coverage %.2f %s", message.Coverage.Ratio, event.Snapshot.GetJson()))
		case *pb.DispatchStreamResponse_Final:
			show("final", fmt.Sprintf("coverage %.2f %s", event.Final.Report.Coverage.Ratio, event.Final.Result.GetJson()))
		}
	}
}

func failing(client pb.DispatcherServiceClient) error {
	fmt.Println("== A call that fails")
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	// The plan requires the branch `phone`; without its answer there is an error instead of a result.
	var trailer metadata.MD
	_, err := client.Dispatch(ctx, request(`{"phone": "unlisted"}`), grpc.Trailer(&trailer))
	told, ok := status.FromError(err)
	if err == nil || !ok {
		return fmt.Errorf("a status was expected, not %v", err)
	}
	show("status", fmt.Sprintf("%d: %s", told.Code(), told.Message()))
	for _, detail := range told.Details() { // each a message of its own type
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			show("reason", detail.Reason) // of detail.Domain, which is "fanmesh"
			for _, key := range slices.Sorted(maps.Keys(detail.Metadata)) {
				show("metadata", key+"="+detail.Metadata[key])
			}
		case *pb.ReportSummary:
			for _, row := range detail.Worst {
				show("summary", fmt.Sprintf("%s: %v %v", row.Branch, row.State, row.Reason))
			}
		}
	}
	show("pushback", trailer.Get("grpc-retry-pushback-ms")[0]) // milliseconds; negative = do not try again
	return nil
}

func show(label, text string) {
	fmt.Printf("%-10s %s\n", label, text)
}
