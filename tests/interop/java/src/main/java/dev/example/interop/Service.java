package dev.example.interop;

import com.google.protobuf.ByteString;
import dev.example.interop.proto.EchoStatus;
import dev.example.interop.proto.Empty;
import dev.example.interop.proto.Payload;
import dev.example.interop.proto.ResponseParameters;
import dev.example.interop.proto.SimpleRequest;
import dev.example.interop.proto.SimpleResponse;
import dev.example.interop.proto.StreamingInputCallRequest;
import dev.example.interop.proto.StreamingInputCallResponse;
import dev.example.interop.proto.StreamingOutputCallRequest;
import dev.example.interop.proto.StreamingOutputCallResponse;
import dev.example.interop.proto.TestServiceGrpc;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.TimeUnit;

/** The handlers. */
final class Service extends TestServiceGrpc.TestServiceImplBase {
  static Payload payload(int size) {
    return Payload.newBuilder().setBody(ByteString.copyFrom(new byte[size])).build();
  }

  private static RuntimeException failure(EchoStatus asked) {
    return Status.fromCodeValue(asked.getCode()).withDescription(asked.getMessage()).asRuntimeException();
  }

  @Override
  public void emptyCall(Empty request, StreamObserver<Empty> answers) {
    answers.onNext(Empty.getDefaultInstance());
    answers.onCompleted();
  }

  @Override
  public void unaryCall(SimpleRequest request, StreamObserver<SimpleResponse> answers) {
    if (request.getResponseStatus().getCode() != 0) {
      answers.onError(failure(request.getResponseStatus()));
      return;
    }
    if (request.getResponseCompressed().getValue()) {
      ((ServerCallStreamObserver<?>) answers).setCompression("gzip");
    }
    answers.onNext(SimpleResponse.newBuilder().setPayload(payload(request.getResponseSize())).build());
    answers.onCompleted();
  }

  private static boolean answer(StreamingOutputCallRequest request, StreamObserver<StreamingOutputCallResponse> answers) {
    for (ResponseParameters one : request.getResponseParametersList()) {
      for (int ms = 0; ms < one.getIntervalUs() / 1000; ms += 10) {
        if (((ServerCallStreamObserver<?>) answers).isCancelled()) {
          return false;
        }
        try {
          TimeUnit.MILLISECONDS.sleep(10);
        } catch (InterruptedException e) {
          return false;
        }
      }
      answers.onNext(StreamingOutputCallResponse.newBuilder().setPayload(payload(one.getSize())).build());
    }
    return true;
  }

  @Override
  public void streamingOutputCall(
      StreamingOutputCallRequest request, StreamObserver<StreamingOutputCallResponse> answers) {
    ((ServerCallStreamObserver<?>) answers).setOnCancelHandler(() -> {});
    if (answer(request, answers)) {
      answers.onCompleted();
    }
  }

  @Override
  public StreamObserver<StreamingInputCallRequest> streamingInputCall(
      StreamObserver<StreamingInputCallResponse> answers) {
    return new StreamObserver<>() {
      private int total;

      @Override
      public void onNext(StreamingInputCallRequest request) {
        total += request.getPayload().getBody().size();
      }

      @Override
      public void onError(Throwable gone) {}

      @Override
      public void onCompleted() {
        answers.onNext(StreamingInputCallResponse.newBuilder().setAggregatedPayloadSize(total).build());
        answers.onCompleted();
      }
    };
  }

  @Override
  public StreamObserver<StreamingOutputCallRequest> fullDuplexCall(
      StreamObserver<StreamingOutputCallResponse> answers) {
    ((ServerCallStreamObserver<?>) answers).setOnCancelHandler(() -> System.out.println("cancelled"));
    return new StreamObserver<>() {
      private boolean failed;

      @Override
      public void onNext(StreamingOutputCallRequest request) {
        if (request.getResponseStatus().getCode() != 0) {
          failed = true;
          answers.onError(failure(request.getResponseStatus()));
        } else {
          answer(request, answers);
        }
      }

      @Override
      public void onError(Throwable gone) {}

      @Override
      public void onCompleted() {
        if (!failed) {
          answers.onCompleted();
        }
      }
    };
  }
}
