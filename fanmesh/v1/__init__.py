"""Generated stubs of protos/fanmesh/v1. Never edited; `make protos` writes them."""
