// A caller written in Go, from protos/ alone: it makes every kind of call there is and prints as JSON what came back, so that
// the test that started it can compare callers in different languages line by line.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	pb "fanmesh.dev/protos/fanmesh/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
)

// Patience bounds each call; none comes near it unless something hangs.
const Patience = 20 * time.Second

type object = map[string]any

func main() {
	if len(os.Args) != 2 {
		fatal(errors.New("usage: client HOST:PORT"))
	}
	connection, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	fatal(err)
	defer connection.Close()
	client := pb.NewDispatcherServiceClient(connection)
	out := object{
		"dispatch":      dispatch(client),
		"failure":       failure(client),
		"in_message":    inMessage(client),
		"stream":        stream(client, "greet"),
		"failed_stream": stream(client, "broken"),
		"explain":       explain(client),
		"deadline":      deadline(client),
	}
	fatal(json.NewEncoder(os.Stdout).Encode(out))
}

func dispatch(client pb.DispatcherServiceClient) object {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var trailer metadata.MD
	reply, err := client.Dispatch(ctx, structRequest("greet"), grpc.Trailer(&trailer))
	fatal(err)
	return object{
		"result":  reply.Result.GetData().AsMap(),
		"report":  report(reply.Report),
		"trailer": first(trailer, "fanmesh-complete"),
	}
}

func failure(client pb.DispatcherServiceClient) object {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var trailer metadata.MD
	_, err := client.Dispatch(ctx, structRequest("broken"), grpc.Trailer(&trailer))
	out := problem(err)
	out["trailer"] = first(trailer, "fanmesh-complete")
	out["pushback"] = first(trailer, "grpc-retry-pushback-ms")
	return out
}

func inMessage(client pb.DispatcherServiceClient) object {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	request := structRequest("broken")
	request.FailureInMessage = true
	reply, err := client.Dispatch(ctx, request)
	fatal(err)
	out := problem(status.FromProto(reply.Outcome).Err())
	out["report"] = report(reply.Report)
	return out
}

func stream(client pb.DispatcherServiceClient, plan string) object {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	request := &pb.DispatchRequest{Plan: plan, Input: &pb.Payload{Body: &pb.Payload_Json{Json: `{"name": "Ada"}`}}}
	events, err := client.DispatchStream(ctx, &pb.DispatchStreamRequest{Request: request, Emit: pb.EmitMode_EMIT_MODE_SNAPSHOT})
	fatal(err)
	seqs, snapshots, out := []uint32{}, []any{}, object{}
	for {
		event, err := events.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			out["error"] = problem(err)
			break
		}
		seqs = append(seqs, event.Seq)
		switch what := event.Event.(type) {
		case *pb.DispatchStreamResponse_Snapshot:
			snapshots = append(snapshots, value(what.Snapshot.GetJson()))
		case *pb.DispatchStreamResponse_Final:
			out["report"] = report(what.Final.Report)
			if what.Final.Result != nil {
				out["result"] = value(what.Final.Result.GetJson())
			}
		default:
			fatal(fmt.Errorf("an event of kind %T", what))
		}
	}
	out["seqs"], out["snapshots"] = seqs, snapshots
	out["trailer"] = first(events.Trailer(), "fanmesh-complete")
	return out
}

func explain(client pb.DispatcherServiceClient) object {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	reply, err := client.Explain(ctx, &pb.ExplainRequest{Request: structRequest("greet")})
	fatal(err)
	nodes := []object{}
	for _, node := range reply.Nodes {
		nodes = append(nodes, object{"branch": node.Branch, "runs": node.Runs, "required": node.Required})
	}
	return object{"plan": reply.Plan, "nodes": nodes}
}

func deadline(client pb.DispatcherServiceClient) object {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := client.Dispatch(ctx, structRequest("hangs"))
	return object{"code": int(status.Code(err))}
}

func structRequest(plan string) *pb.DispatchRequest {
	data, err := structpb.NewStruct(object{"name": "Ada"})
	fatal(err)
	return &pb.DispatchRequest{Plan: plan, Input: &pb.Payload{Body: &pb.Payload_Data{Data: data}}}
}

func problem(err error) object {
	told, ok := status.FromError(err)
	if err == nil || !ok {
		fatal(fmt.Errorf("a status was expected, not %v", err))
	}
	out := object{"code": int(told.Code()), "message": told.Message()}
	for _, detail := range told.Details() {
		switch what := detail.(type) {
		case *errdetails.ErrorInfo:
			out["info"] = object{"reason": what.Reason, "domain": what.Domain, "metadata": what.Metadata}
		case *pb.ReportSummary:
			out["summary"] = object{"completed_by": what.CompletedBy.String(), "branches": branches(what.Worst)}
		default:
			fatal(fmt.Errorf("a detail of kind %T", what))
		}
	}
	return out
}

func report(from *pb.Report) object {
	return object{
		"plan":         from.Plan,
		"complete":     from.Complete,
		"completed_by": from.CompletedBy.String(),
		"coverage":     from.Coverage.GetRatio(),
		"branches":     branches(from.Branches),
	}
}

func branches(rows []*pb.BranchReport) object {
	out := object{}
	for _, row := range rows {
		out[row.Branch] = row.State.String()
	}
	return out
}

func value(text string) any {
	var out any
	fatal(json.Unmarshal([]byte(text), &out))
	return out
}

func first(from metadata.MD, key string) any {
	if values := from.Get(key); len(values) > 0 {
		return values[0]
	}
	return nil
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
