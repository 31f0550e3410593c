package dev.example.fanout;

import com.google.common.util.concurrent.FutureCallback;
import com.google.common.util.concurrent.Futures;
import com.google.common.util.concurrent.ListenableFuture;
import com.google.common.util.concurrent.MoreExecutors;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.Strictness;
import dev.fanmesh.v1.DispatchRequest;
import dev.fanmesh.v1.DispatchResponse;
import dev.fanmesh.v1.DispatcherServiceGrpc.DispatcherServiceImplBase;
import dev.fanmesh.v1.Payload;
import dev.fanmesh.v1.ProcessRequest;
import dev.fanmesh.v1.ProcessResponse;
import dev.fanmesh.v1.WorkerServiceGrpc;
import dev.fanmesh.v1.WorkerServiceGrpc.WorkerServiceFutureStub;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.InsecureServerCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;

/**
 * The floor in Java: futures of the generated stubs in a grpc-java server, as one writes it by hand.
 *
 * <p>The same messages and the same work as floor.py: read the JSON input, call N workers in parallel with a deadline, put their
 * answers under their names. No report, no partial result, no metadata. One connection to the worker, as the others have.
 *
 * <p>Nothing here waits, so all of it runs on the threads of the network: no thread is kept by a call, and none is woken for one.
 *
 * <p>Arguments: the worker's port, the number of branches. Prints its port; ends when stdin does.
 */
public final class Floor extends DispatcherServiceImplBase {
  private static final long PATIENCE_MS = 1500;
  private static final Gson JSON =
      new GsonBuilder().setStrictness(Strictness.STRICT).serializeNulls().disableHtmlEscaping().create();

  private final WorkerServiceFutureStub worker;
  private final List<String> branches;

  private Floor(WorkerServiceFutureStub worker, int width) {
    this.worker = worker;
    this.branches = IntStream.range(0, width).mapToObj(at -> "b" + at).toList();
  }

  private static JsonElement parsed(Payload payload) {
    JsonElement value = JSON.fromJson(payload.getJson(), JsonElement.class);
    if (value == null) {
      throw new JsonParseException("there is none");
    }
    return value;
  }

  private DispatchResponse merged(List<ProcessResponse> answers) {
    JsonObject result = new JsonObject();
    for (int at = 0; at < answers.size(); at++) {
      result.add(branches.get(at), parsed(answers.get(at).getOutput()));
    }
    return DispatchResponse.newBuilder().setResult(Payload.newBuilder().setJson(JSON.toJson(result))).build();
  }

  /** Calls every worker and merges by name. The calls end with this one: gRPC's context sees to it, as to the caller's deadline. */
  @Override
  public void dispatch(DispatchRequest request, StreamObserver<DispatchResponse> reply) {
    Payload input = request.getInput();
    try {
      parsed(input);
    } catch (JsonParseException problem) {
      reply.onError(Status.INVALID_ARGUMENT.withDescription("input: " + problem.getMessage()).asException());
      return;
    }
    WorkerServiceFutureStub patient = worker.withDeadlineAfter(PATIENCE_MS, TimeUnit.MILLISECONDS);
    List<ListenableFuture<ProcessResponse>> calls =
        branches.stream()
            .map(branch -> patient.process(ProcessRequest.newBuilder().setBranch(branch).setInput(input).build()))
            .toList();
    ListenableFuture<DispatchResponse> response =
        Futures.transform(Futures.allAsList(calls), this::merged, MoreExecutors.directExecutor());
    FutureCallback<DispatchResponse> replying =
        new FutureCallback<>() {
          @Override
          public void onSuccess(DispatchResponse message) {
            reply.onNext(message);
            reply.onCompleted();
          }

          @Override
          public void onFailure(Throwable problem) {
            reply.onError(problem);
          }
        };
    Futures.addCallback(response, replying, MoreExecutors.directExecutor());
  }

  public static void main(String[] args) throws Exception {
    ManagedChannel channel =
        Grpc.newChannelBuilder("127.0.0.1:" + args[0], InsecureChannelCredentials.create()).directExecutor().build();
    Floor floor = new Floor(WorkerServiceGrpc.newFutureStub(channel), Integer.parseInt(args[1]));
    Server server =
        NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0), InsecureServerCredentials.create())
            .directExecutor()
            .addService(floor)
            .build()
            .start();
    System.out.println(server.getPort());
    System.in.transferTo(OutputStream.nullOutputStream());
    server.shutdownNow().awaitTermination();
    channel.shutdownNow();
  }
}
