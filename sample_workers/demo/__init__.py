"""What Fanmesh promises, shown and checked on this machine: real processes, real data, one claim after the other.

A program and not a set of slides or a test report: whoever reads it sees the requests happen, and the exit code says whether
all that was claimed was true this time. Only the public ways in are used: the command line, the clients, the protocol.
"""
