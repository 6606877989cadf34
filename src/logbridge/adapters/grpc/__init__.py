"""The log service behind gRPC: sink and reader over one connection, messages to entries and back."""

import os

_FORK_SUPPORT = "GRPC_ENABLE_FORK_SUPPORT"

if _FORK_SUPPORT not in os.environ:
    # Read once, as grpc is imported. Its fork handlers start threads in a child that was forked while a
    # channel was open, and there those crash in about a third of all cases. No child uses such a channel.
    os.environ[_FORK_SUPPORT] = "false"
    import grpc  # noqa: F401 (imported for what it reads)

    del os.environ[_FORK_SUPPORT]
