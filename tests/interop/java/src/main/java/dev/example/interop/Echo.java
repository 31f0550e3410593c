package dev.example.interop;

import io.grpc.ForwardingServerCall.SimpleForwardingServerCall;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;

/** Gives back the metadata that asks for it: text before the answer, bytes after it, details with a failure. */
final class Echo implements ServerInterceptor {
  @Override
  public <Q, A> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, A> call, Metadata asked, ServerCallHandler<Q, A> next) {
    var echoing =
        new SimpleForwardingServerCall<Q, A>(call) {
          @Override
          public void sendHeaders(Metadata headers) {
            copy(asked, Main.INITIAL, headers, Main.INITIAL);
            super.sendHeaders(headers);
          }

          @Override
          public void close(Status status, Metadata trailers) {
            copy(asked, Main.TRAILING, trailers, Main.TRAILING);
            if (!status.isOk()) {
              copy(asked, Main.WANTED, trailers, Main.DETAILS);
            }
            super.close(status, trailers);
          }
        };
    return next.startCall(echoing, asked);
  }

  private static <T> void copy(Metadata from, Metadata.Key<T> key, Metadata to, Metadata.Key<T> as) {
    T value = from.get(key);
    if (value != null) {
      to.put(as, value);
    }
  }
}
