package dev.example.interop;

import com.google.protobuf.ByteString;
import dev.example.interop.proto.EchoStatus;
import dev.example.interop.proto.Empty;
import dev.example.interop.proto.ResponseParameters;
import dev.example.interop.proto.SimpleRequest;
import dev.example.interop.proto.SimpleResponse;
import dev.example.interop.proto.StreamingInputCallRequest;
import dev.example.interop.proto.StreamingInputCallResponse;
import dev.example.interop.proto.StreamingOutputCallRequest;
import dev.example.interop.proto.StreamingOutputCallResponse;
import dev.example.interop.proto.TestServiceGrpc;
import dev.example.interop.proto.UnimplementedServiceGrpc;
import io.grpc.Channel;
import io.grpc.ClientInterceptor;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

/** The cases, in the words of gRPC's "Interoperability Test Case Descriptions", and some of ours. */
final class Cases {
  /** One case; it throws if it fails. */
  interface Case {
    void run() throws Exception;
  }

  private static final int LARGE = 3 << 20;
  private static final int[] REQUESTS = {27182, 8, 1828, 45904};
  private static final int[] RESPONSES = {31415, 9, 2653, 58979};
  private static final String SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";

  private final Channel channel;

  Cases(Channel channel) {
    this.channel = channel;
  }

  private TestServiceGrpc.TestServiceBlockingStub blocking() {
    return TestServiceGrpc.newBlockingStub(channel).withDeadlineAfter(30, TimeUnit.SECONDS);
  }

  private TestServiceGrpc.TestServiceStub streaming() {
    return TestServiceGrpc.newStub(channel).withDeadlineAfter(30, TimeUnit.SECONDS);
  }

  private static void equal(Object got, Object wanted) {
    if (!Objects.equals(got, wanted)) {
      throw new AssertionError(got + " instead of " + wanted);
    }
  }

  private static StatusRuntimeException fails(Status.Code code, String message, Case one) throws Exception {
    try {
      one.run();
    } catch (StatusRuntimeException e) {
      equal(e.getStatus().getCode(), code);
      if (message != null) {
        equal(e.getStatus().getDescription(), message);
      }
      return e;
    }
    throw new AssertionError("it did not fail");
  }

  /** What comes back of a streamed call: answers, then a Status. */
  private static final class Heard<A> implements StreamObserver<A> {
    private final BlockingQueue<Object> queue = new LinkedBlockingQueue<>();

    @Override
    public void onNext(A answer) {
      queue.add(answer);
    }

    @Override
    public void onError(Throwable problem) {
      queue.add(Status.fromThrowable(problem));
    }

    @Override
    public void onCompleted() {
      queue.add(Status.OK);
    }

    Object next() throws InterruptedException {
      return Objects.requireNonNull(queue.poll(30, TimeUnit.SECONDS), "nothing came");
    }

    int size() throws InterruptedException {
      Object answer = next();
      if (answer instanceof StreamingOutputCallResponse response) {
        return response.getPayload().getBody().size();
      }
      throw new AssertionError(answer);
    }

    void ends(Status.Code code, String message) throws InterruptedException {
      Object last = next();
      if (!(last instanceof Status status)) {
        throw new AssertionError("not the end: " + last.getClass());
      }
      equal(status.getCode(), code);
      if (message != null) {
        equal(status.getDescription(), message);
      }
    }
  }

  private static StreamingOutputCallRequest asking(int size, int... sizes) {
    var request = StreamingOutputCallRequest.newBuilder().setPayload(Service.payload(size));
    for (int one : sizes) {
      request.addResponseParameters(ResponseParameters.newBuilder().setSize(one));
    }
    return request.build();
  }

  private static SimpleRequest simple(int size, int response) {
    return SimpleRequest.newBuilder().setResponseSize(response).setPayload(Service.payload(size)).build();
  }

  private static SimpleRequest failing(int code, String message) {
    return SimpleRequest.newBuilder()
        .setResponseStatus(EchoStatus.newBuilder().setCode(code).setMessage(message))
        .build();
  }

  private static int size(SimpleResponse answer) {
    return answer.getPayload().getBody().size();
  }

  private void clientStreaming() throws Exception {
    var heard = new Heard<StreamingInputCallResponse>();
    var call = streaming().streamingInputCall(heard);
    for (int size : REQUESTS) {
      call.onNext(StreamingInputCallRequest.newBuilder().setPayload(Service.payload(size)).build());
    }
    call.onCompleted();
    equal(((StreamingInputCallResponse) heard.next()).getAggregatedPayloadSize(), 74922);
    heard.ends(Status.Code.OK, null);
  }

  private void serverStreaming() {
    List<Integer> sizes = new ArrayList<>();
    blocking().streamingOutputCall(asking(0, RESPONSES)).forEachRemaining(a -> sizes.add(a.getPayload().getBody().size()));
    equal(sizes, Arrays.stream(RESPONSES).boxed().toList());
  }

  private void pingPong() throws Exception {
    var heard = new Heard<StreamingOutputCallResponse>();
    var call = streaming().fullDuplexCall(heard);
    for (int i = 0; i < REQUESTS.length; i++) {
      call.onNext(asking(REQUESTS[i], RESPONSES[i]));
      equal(heard.size(), RESPONSES[i]);
    }
    call.onCompleted();
    heard.ends(Status.Code.OK, null);
  }

  private void emptyStream() throws Exception {
    var heard = new Heard<StreamingOutputCallResponse>();
    streaming().fullDuplexCall(heard).onCompleted();
    heard.ends(Status.Code.OK, null);
  }

  private static void sameEcho(AtomicReference<Metadata> headers, AtomicReference<Metadata> trailers, Metadata sent) {
    equal(headers.get().get(Main.INITIAL), sent.get(Main.INITIAL));
    equal(ByteString.copyFrom(trailers.get().get(Main.TRAILING)), ByteString.copyFrom(sent.get(Main.TRAILING)));
  }

  private void customMetadata() throws Exception {
    var sent = new Metadata();
    sent.put(Main.INITIAL, "test_initial_metadata_value");
    sent.put(Main.TRAILING, new byte[] {10, 11, 10, 11, 10, 11});
    var headers = new AtomicReference<Metadata>();
    var trailers = new AtomicReference<Metadata>();
    ClientInterceptor[] both = {
      MetadataUtils.newAttachHeadersInterceptor(sent), MetadataUtils.newCaptureMetadataInterceptor(headers, trailers)
    };
    equal(size(blocking().withInterceptors(both).unaryCall(simple(1, 1))), 1);
    sameEcho(headers, trailers, sent);
    var heard = new Heard<StreamingOutputCallResponse>();
    var call = streaming().withInterceptors(both).fullDuplexCall(heard);
    call.onNext(asking(1, 1));
    call.onCompleted();
    equal(heard.size(), 1);
    heard.ends(Status.Code.OK, null);
    sameEcho(headers, trailers, sent);
  }

  private void statusCodeAndMessage() throws Exception {
    String message = "test status message";
    fails(Status.Code.UNKNOWN, message, () -> blocking().unaryCall(failing(2, message)));
    var heard = new Heard<StreamingOutputCallResponse>();
    var call = streaming().fullDuplexCall(heard);
    var status = EchoStatus.newBuilder().setCode(2).setMessage(message);
    call.onNext(StreamingOutputCallRequest.newBuilder().setResponseStatus(status).build());
    call.onCompleted();
    heard.ends(Status.Code.UNKNOWN, message);
  }

  private void cancelAfterBegin() throws Exception {
    var heard = new Heard<StreamingInputCallResponse>();
    var call = streaming().streamingInputCall(heard);
    ((ClientCallStreamObserver<?>) call).cancel("no more", null);
    heard.ends(Status.Code.CANCELLED, null);
  }

  private void cancelAfterFirstResponse() throws Exception {
    var heard = new Heard<StreamingOutputCallResponse>();
    var call = streaming().fullDuplexCall(heard);
    call.onNext(asking(27182, 31415));
    equal(heard.size(), 31415);
    ((ClientCallStreamObserver<?>) call).cancel("no more", null);
    heard.ends(Status.Code.CANCELLED, null);
  }

  private void timeoutOnSleepingServer() throws Exception {
    var heard = new Heard<StreamingOutputCallResponse>();
    TestServiceGrpc.newStub(channel).withDeadlineAfter(1, TimeUnit.MILLISECONDS).fullDuplexCall(heard).onNext(asking(27182));
    heard.ends(Status.Code.DEADLINE_EXCEEDED, null);
  }

  private void deadline() throws Exception {
    var slow = ResponseParameters.newBuilder().setSize(1).setIntervalUs(30_000_000);
    var request = StreamingOutputCallRequest.newBuilder().addResponseParameters(slow).build();
    var stub = TestServiceGrpc.newBlockingStub(channel).withDeadlineAfter(300, TimeUnit.MILLISECONDS);
    fails(Status.Code.DEADLINE_EXCEEDED, null, () -> stub.streamingOutputCall(request).next());
  }

  private void large() throws Exception {
    equal(size(blocking().unaryCall(simple(LARGE, LARGE))), LARGE);
    var heard = new Heard<StreamingOutputCallResponse>();
    var call = streaming().fullDuplexCall(heard);
    for (int i = 0; i < 3; i++) {
      call.onNext(asking(LARGE, LARGE, 1));
    }
    call.onCompleted();
    for (int i = 0; i < 3; i++) {
      equal(heard.size(), LARGE);
      equal(heard.size(), 1);
    }
    heard.ends(Status.Code.OK, null);
  }

  private void binaryMetadata() {
    for (byte[] value : List.of(new byte[] {0}, new byte[] {0, -1}, new byte[] {-1, -2, -3}, new byte[0])) {
      var sent = new Metadata();
      sent.put(Main.TRAILING, value);
      var trailers = new AtomicReference<Metadata>();
      var capture = MetadataUtils.newCaptureMetadataInterceptor(new AtomicReference<>(), trailers);
      blocking().withInterceptors(MetadataUtils.newAttachHeadersInterceptor(sent), capture).unaryCall(simple(0, 0));
      equal(ByteString.copyFrom(trailers.get().get(Main.TRAILING)), ByteString.copyFrom(value));
    }
  }

  private void oddMessages() throws Exception {
    for (String message : List.of("100% %41 %", " between spaces ", "+", "x".repeat(1000))) {
      fails(Status.Code.FAILED_PRECONDITION, message, () -> blocking().unaryCall(failing(9, message)));
    }
  }

  private void richStatus() throws Exception {
    byte[] details = com.google.rpc.Status.newBuilder().setCode(9).setMessage("nö").build().toByteArray();
    var sent = new Metadata();
    sent.put(Main.WANTED, details);
    var stub = blocking().withInterceptors(MetadataUtils.newAttachHeadersInterceptor(sent));
    var error = fails(Status.Code.FAILED_PRECONDITION, "nö", () -> stub.unaryCall(failing(9, "nö")));
    equal(ByteString.copyFrom(error.getTrailers().get(Main.DETAILS)), ByteString.copyFrom(details));
    equal(io.grpc.protobuf.StatusProto.fromThrowable(error).getMessage().getBytes(StandardCharsets.UTF_8).length, 3);
  }

  /** All of them, by name. */
  Map<String, Case> all() {
    var cases = new LinkedHashMap<String, Case>();
    cases.put("empty_unary", () -> equal(blocking().emptyCall(Empty.getDefaultInstance()), Empty.getDefaultInstance()));
    cases.put("large_unary", () -> equal(size(blocking().unaryCall(simple(271828, 314159))), 314159));
    cases.put("client_streaming", this::clientStreaming);
    cases.put("server_streaming", this::serverStreaming);
    cases.put("ping_pong", this::pingPong);
    cases.put("empty_stream", this::emptyStream);
    cases.put("custom_metadata", this::customMetadata);
    cases.put("status_code_and_message", this::statusCodeAndMessage);
    cases.put("special_status_message", () -> fails(Status.Code.UNKNOWN, SPECIAL, () -> blocking().unaryCall(failing(2, SPECIAL))));
    var empty = Empty.getDefaultInstance();
    cases.put("unimplemented_method", () -> fails(Status.Code.UNIMPLEMENTED, null, () -> blocking().unimplementedCall(empty)));
    var other = UnimplementedServiceGrpc.newBlockingStub(channel);
    cases.put("unimplemented_service", () -> fails(Status.Code.UNIMPLEMENTED, null, () -> other.unimplementedCall(empty)));
    cases.put("cancel_after_begin", this::cancelAfterBegin);
    cases.put("cancel_after_first_response", this::cancelAfterFirstResponse);
    cases.put("timeout_on_sleeping_server", this::timeoutOnSleepingServer);
    cases.put("fanmesh_deadline", this::deadline);
    cases.put("fanmesh_large", this::large);
    cases.put("fanmesh_gzip", () -> equal(size(blocking().withCompression("gzip").unaryCall(simple(LARGE, LARGE))), LARGE));
    cases.put("fanmesh_binary_metadata", this::binaryMetadata);
    cases.put("fanmesh_odd_messages", this::oddMessages);
    cases.put("fanmesh_rich_status", this::richStatus);
    return cases;
  }
}
