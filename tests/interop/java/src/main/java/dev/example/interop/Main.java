package dev.example.interop;

import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCredentials;
import io.grpc.ServerInterceptors;
import io.grpc.TlsChannelCredentials;
import io.grpc.TlsServerCredentials;
import java.io.File;
import java.util.Map;

/**
 * gRPC's test service and its published cases with grpc-java, whose own interop programs are in no registry.
 *
 * <pre>
 * server [CERT KEY [CA]]            says where it listens, and serves until it is killed
 * client ADDRESS [CA [CERT KEY]]    says of each case what became of it
 * </pre>
 *
 * With a CA a server wants a certificate of it from each caller; with CERT and KEY a client has one to show.
 */
public final class Main {
  static final Metadata.Key<String> INITIAL = Metadata.Key.of("x-grpc-test-echo-initial", Metadata.ASCII_STRING_MARSHALLER);
  static final Metadata.Key<byte[]> TRAILING = binary("x-grpc-test-echo-trailing-bin");
  static final Metadata.Key<byte[]> WANTED = binary("x-details-bin");
  static final Metadata.Key<byte[]> DETAILS = binary("grpc-status-details-bin");

  private Main() {}

  private static Metadata.Key<byte[]> binary(String name) {
    return Metadata.Key.of(name, Metadata.BINARY_BYTE_MARSHALLER);
  }

  private static void serve(String[] args) throws Exception {
    ServerCredentials credentials = InsecureServerCredentials.create();
    if (args.length > 2) {
      var tls = TlsServerCredentials.newBuilder().keyManager(new File(args[1]), new File(args[2]));
      if (args.length > 3) {
        tls.trustManager(new File(args[3])).clientAuth(TlsServerCredentials.ClientAuth.REQUIRE);
      }
      credentials = tls.build();
    }
    Server server =
        Grpc.newServerBuilderForPort(0, credentials)
            .addService(ServerInterceptors.intercept(new Service(), new Echo()))
            .build()
            .start();
    System.out.println("listening on " + server.getPort());
    server.awaitTermination();
  }

  private static void call(String[] args) throws Exception {
    ChannelCredentials credentials = InsecureChannelCredentials.create();
    if (args.length > 2) {
      var tls = TlsChannelCredentials.newBuilder().trustManager(new File(args[2]));
      if (args.length > 3) {
        tls.keyManager(new File(args[3]), new File(args[4]));
      }
      credentials = tls.build();
    }
    var channel = Grpc.newChannelBuilder(args[1], credentials).build();
    for (Map.Entry<String, Cases.Case> one : new Cases(channel).all().entrySet()) {
      String outcome = "ok";
      try {
        one.getValue().run();
      } catch (Throwable problem) {
        outcome = problem.toString().replace('\n', ' ');
      }
      System.out.println(one.getKey() + ": " + outcome);
    }
    channel.shutdownNow();
  }

  public static void main(String[] args) throws Exception {
    if (args[0].equals("server")) {
      serve(args);
    } else {
      call(args);
    }
  }
}
