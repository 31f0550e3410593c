// The protocol, read from protos/ when the program starts: nothing is generated. Copy that folder into your own project.
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import { fileURLToPath } from "node:url";

const includeDirs = ["../../protos", "."].map((path) => fileURLToPath(new URL(path, import.meta.url)));
const options = { includeDirs, keepCase: true, enums: String, longs: Number, defaults: true, oneofs: true };
const files = ["fanmesh/v1/dispatcher.proto", "fanmesh/v1/worker.proto", "error_info.proto"];

const definition = loader.loadSync(files, options);

// DispatcherService and WorkerService, each with its client's constructor and its `service`, for servers.
export const { DispatcherService, WorkerService } = grpc.loadPackageDefinition(definition).fanmesh.v1;

// A message from its bytes. Error details come as bytes, since each may be of another type.
export const decode = (type, bytes) => definition[type].deserialize(bytes);
