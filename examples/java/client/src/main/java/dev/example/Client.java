package dev.example;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import dev.fanmesh.v1.AttemptReport;
import dev.fanmesh.v1.BranchReason;
import dev.fanmesh.v1.BranchReport;
import dev.fanmesh.v1.BranchState;
import dev.fanmesh.v1.DispatchRequest;
import dev.fanmesh.v1.DispatchResponse;
import dev.fanmesh.v1.DispatchStreamRequest;
import dev.fanmesh.v1.DispatchStreamResponse;
import dev.fanmesh.v1.DispatcherServiceGrpc;
import dev.fanmesh.v1.DispatcherServiceGrpc.DispatcherServiceBlockingStub;
import dev.fanmesh.v1.EmitMode;
import dev.fanmesh.v1.Payload;
import dev.fanmesh.v1.Report;
import dev.fanmesh.v1.ReportSummary;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.util.Iterator;
import java.util.Locale;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Calls a dispatcher: one answer, a stream, and a call that fails. What each line means: examples/README.md.
 *
 * <p>{@code mvn -q compile exec:java -Dexec.args=localhost:50050}, after {@code make serve}.
 */
public final class Client {
  /** No IP address: that branch will have nothing to say. */
  private static final String CONTACT = "{\"phone\": \"+49 30 23125000\", \"email\": \"ada@example.org\"}";

  private static final DispatchRequest REQUEST =
      DispatchRequest.newBuilder()
          .setPlan("enrich_contact")
          .setInput(Payload.newBuilder().setJson(CONTACT))
          .build();

  private static final Metadata.Key<String> COMPLETE = ascii("fanmesh-complete");
  private static final Metadata.Key<String> PUSHBACK = ascii("grpc-retry-pushback-ms");

  public static void main(String[] args) throws Exception {
    String target = args.length > 0 ? args[0] : "localhost:50050";
    ManagedChannel channel = Grpc.newChannelBuilder(target, InsecureChannelCredentials.create()).build();
    try {
      DispatcherServiceBlockingStub stub = DispatcherServiceGrpc.newBlockingStub(channel);
      dispatch(stub);
      stream(stub);
      failing(stub);
    } finally {
      channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
    }
  }

  /** With a deadline, counted from now: it travels with the call, and bounds the workers too. */
  private static DispatcherServiceBlockingStub patient(DispatcherServiceBlockingStub stub) {
    return stub.withDeadlineAfter(10, TimeUnit.SECONDS);
  }

  private static void dispatch(DispatcherServiceBlockingStub stub) {
    System.out.println("== Dispatch");
    AtomicReference<Metadata> headers = new AtomicReference<>();
    AtomicReference<Metadata> trailers = new AtomicReference<>();
    DispatchResponse reply =
        patient(stub)
            .withInterceptors(MetadataUtils.newCaptureMetadataInterceptor(headers, trailers))
            .dispatch(REQUEST);
    print("result", "%s", reply.getResult().getJson()); // JSON because the input was; reply_kind may ask for a Struct
    print("complete", "%s", trailers.get().get(COMPLETE));
    Report report = reply.getReport();
    print("coverage", "%.2f by %s", report.getCoverage().getRatio(), report.getCompletedBy());
    for (BranchReport row : report.getBranchesList()) {
      if (row.getState() == BranchState.BRANCH_STATE_SUCCEEDED
          || row.getReason() == BranchReason.BRANCH_REASON_CONDITION) {
        continue; // it answered, or the plan did not want it for this input
      }
      print("missing", "%s: %s", ended(row), row.getStatus().getMessage());
      for (AttemptReport attempt : row.getAttemptsList()) {
        print("attempt", "%s %d: %s code %d at %s",
            row.getBranch(), attempt.getNumber(), attempt.getKind(), attempt.getCode(), attempt.getEndpoint());
      }
    }
  }

  private static void stream(DispatcherServiceBlockingStub stub) {
    System.out.println("== DispatchStream");
    DispatchStreamRequest asked =
        DispatchStreamRequest.newBuilder().setRequest(REQUEST).setEmit(EmitMode.EMIT_MODE_SNAPSHOT).build();
    Iterator<DispatchStreamResponse> messages = patient(stub).dispatchStream(asked);
    while (messages.hasNext()) {
      DispatchStreamResponse message = messages.next();
      switch (message.getEventCase()) {
        case SNAPSHOT -> print("snapshot", "coverage %.2f %s",
            message.getCoverage().getRatio(), message.getSnapshot().getJson());
        case FINAL -> print("final", "coverage %.2f %s",
            message.getFinal().getReport().getCoverage().getRatio(), message.getFinal().getResult().getJson());
        default -> { } // not asked for
      }
    }
  }

  private static void failing(DispatcherServiceBlockingStub stub) throws InvalidProtocolBufferException {
    System.out.println("== A call that fails");
    // The plan requires the branch `phone`; without its answer there is an error instead of a result.
    Payload unlisted = Payload.newBuilder().setJson("{\"phone\": \"unlisted\"}").build();
    try {
      patient(stub).dispatch(REQUEST.toBuilder().setInput(unlisted).build());
      throw new IllegalStateException("a status was expected");
    } catch (StatusRuntimeException error) {
      com.google.rpc.Status status = StatusProto.fromThrowable(error); // with its details
      print("status", "%d: %s", status.getCode(), status.getMessage());
      for (Any detail : status.getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          ErrorInfo info = detail.unpack(ErrorInfo.class);
          print("reason", "%s", info.getReason()); // of info.getDomain(), which is "fanmesh"
          new TreeMap<>(info.getMetadataMap()).forEach((key, value) -> print("metadata", "%s=%s", key, value));
        } else if (detail.is(ReportSummary.class)) {
          detail.unpack(ReportSummary.class).getWorstList().forEach(row -> print("summary", "%s", ended(row)));
        }
      }
      print("pushback", "%s", error.getTrailers().get(PUSHBACK)); // milliseconds; negative = do not try again
    }
  }

  private static String ended(BranchReport row) {
    return "%s: %s %s".formatted(row.getBranch(), row.getState(), row.getReason());
  }

  private static void print(String label, String format, Object... values) {
    System.out.printf("%-10s %s%n", label, String.format(Locale.ROOT, format, values));
  }

  private static Metadata.Key<String> ascii(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }
}
