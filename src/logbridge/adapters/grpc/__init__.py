"""The log service behind gRPC: sink and reader over one connection, messages to entries and back."""

import os

# What grpc reads once, as it is imported; what somebody has set stays.
_AT_IMPORT = {
    # Its fork handlers start threads in a child that was forked while a channel was open; those crash there
    # in about a third of all cases. No child uses such a channel.
    "GRPC_ENABLE_FORK_SUPPORT": "false",
    # It writes to stderr what strangers send in a handshake, line breaks included. What it tells of our own
    # calls is in their status, too.
    "GRPC_VERBOSITY": "NONE",
}
_ours = {name: value for name, value in _AT_IMPORT.items() if name not in os.environ}
os.environ.update(_ours)

import grpc  # noqa: E402, F401 (imported for what it reads)

for _name in _ours:
    del os.environ[_name]
