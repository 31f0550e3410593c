"""How bytes travel. `port` says what is asked of a transport; `grpc_aio` is the one that runs by default."""
