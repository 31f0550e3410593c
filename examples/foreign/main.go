// A service that never heard of Fanmesh: generated from its own proto, with the health and reflection services that gRPC brings.
//
//	go run . [HOST:PORT]
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	pb "example.com/shop/gen"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// What one euro is in hundredths of the currency.
var rates = map[string]int64{"EUR": 100, "USD": 125, "GBP": 80, "JPY": 16000}

type shop struct {
	pb.UnimplementedCurrencyServiceServer
}

func (shop) Convert(ctx context.Context, request *pb.ConvertRequest) (*pb.ConvertResponse, error) {
	if told, _ := metadata.FromIncomingContext(ctx); len(told.Get("authorization")) == 0 {
		return nil, status.Error(codes.Unauthenticated, "who are you?")
	}
	from, known := rates[request.GetFrom().GetCurrencyCode()]
	to, alsoKnown := rates[request.GetToCode()]
	if !known || !alsoKnown {
		unknown, err := status.New(codes.InvalidArgument, "unknown currency").WithDetails(&errdetails.ErrorInfo{
			Reason: "NO_SUCH_CURRENCY", Domain: "shop.example", Metadata: map[string]string{"to": request.GetToCode()},
		})
		if err != nil {
			return nil, err
		}
		return nil, unknown.Err()
	}
	cents := request.GetFrom().GetUnits() * 100 * to / from
	return &pb.ConvertResponse{
		Result: &pb.Money{CurrencyCode: request.GetToCode(), Units: cents / 100, Nanos: int32(cents%100) * 10_000_000},
		Source: pb.Source_SOURCE_FIXED,
	}, nil
}

func (shop) History(request *pb.HistoryRequest, out grpc.ServerStreamingServer[pb.Rate]) error {
	today := time.Date(2025, time.March, 3, 0, 0, 0, 0, time.UTC)
	for ago := range int(request.GetDays()) {
		rate := float64(rates[request.GetCode()]) / 100
		if err := out.Send(&pb.Rate{Day: timestamppb.New(today.AddDate(0, 0, -ago)), Rate: rate}); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	address := "127.0.0.1:50074"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterCurrencyServiceServer(server, shop{})
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	reflection.Register(server)
	go func() {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
		<-signals
		server.GracefulStop()
	}()
	fmt.Println("serving on port", listener.Addr().(*net.TCPAddr).Port)
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}
