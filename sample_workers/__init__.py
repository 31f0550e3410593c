"""Fan-outs over real data, run by `make demo` and the tests: as a user of Fanmesh would write them."""
