"""Reading logs back through a log service: QueryLog and the like, and what older peers make of them."""

import asyncio
from collections.abc import AsyncGenerator

import msgspec
from google.protobuf.message import DecodeError
from grpc.aio import AioRpcError

from logbridge.adapters.grpc import logservice_pb2 as pb
from logbridge.adapters.grpc.connection import Connection
from logbridge.adapters.grpc.mapping import (
    from_histogram_response,
    from_message,
    to_histogram_request,
    to_request,
)
from logbridge.adapters.grpc.status import RpcFailure, failure_of, reader_error_of
from logbridge.adapters.newest import check_depth, merge, newest
from logbridge.domain.entry import LogLevel
from logbridge.domain.errors import QueryNotSupported, QueryRefused, ReaderUnavailable
from logbridge.domain.ports import Deadline
from logbridge.domain.query import (
    Followed,
    HistogramQuery,
    LogFilter,
    LogHistogram,
    LogPage,
    LogQuery,
    check_place,
)


class GrpcReader:
    """A LogReader over a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def query(self, query: LogQuery, *, deadline: Deadline) -> LogPage:
        """See LogReader.query. Field peers know no full text and no "any level"."""
        self._check_open()
        with self._connection.in_use():
            page, ours = await self._page(query, deadline)
            if ours:
                return page
            if query.text:
                raise QueryNotSupported(
                    f"{self._connection.address}: this log service has no full text search"
                )
            if query.services:
                raise self._not_narrowed(query)
            # An entry of another level shows that no level does mean any level to this peer.
            if query.level is not None or any(entry.level is not LogLevel.DEBUG for entry in page.entries):
                return page
            return await self._merged(query, deadline)

    async def _page(self, query: LogQuery, deadline: Deadline) -> tuple[LogPage, bool]:
        answer = await self._connection.call("QueryLog", to_request(query).SerializeToString(), deadline)
        if isinstance(answer, RpcFailure):
            raise reader_error_of(answer)
        try:
            response = pb.QueryLogResponse.FromString(answer.body)
        except DecodeError:
            raise self._garbage() from None
        if not response.success:
            reason = response.error_message or "the query failed, no reason given"
            raise QueryRefused(f"{self._connection.address}: {reason}")
        page = LogPage([from_message(log) for log in response.logs], response.total_count)
        if any(query.services and entry.service_name not in query.services for entry in page.entries):
            # A peer that ignores what it was asked must not show a caller the logs of others.
            raise self._not_narrowed(query)
        return page, answer.ours

    async def _merged(self, query: LogQuery, deadline: Deadline) -> LogPage:
        address = self._connection.address
        check_depth(query, f"{address}: this log service answers by level only: name a level")

        async def ask(asked: LogQuery) -> LogPage:
            page, _ = await self._page(asked, deadline)
            return page

        levels = [msgspec.structs.replace(query, level=level) for level in LogLevel]
        return merge([await newest(ask, of_level) for of_level in levels], query)

    async def histogram(self, query: HistogramQuery, *, deadline: Deadline) -> LogHistogram:
        """See LogReader.histogram. Peers of the field do not have the method."""
        self._check_open()
        request = to_histogram_request(query).SerializeToString()
        with self._connection.in_use():
            answer = await self._connection.call("HistogramLog", request, deadline)
        if isinstance(answer, RpcFailure):
            raise reader_error_of(answer)
        if not answer.ours:
            # It might know neither text nor several services, and count more than was asked for.
            raise QueryNotSupported(f"{self._connection.address}: this log service has no histogram of ours")
        try:
            return from_histogram_response(pb.HistogramLogResponse.FromString(answer.body))
        except (DecodeError, ValueError):
            raise self._garbage() from None

    async def follow(self, which: LogFilter, *, after: int | None = None) -> AsyncGenerator[Followed, None]:
        """See LogReader.follow."""
        self._check_open()
        check_place(after)
        request = pb.FollowLogRequest(filter=to_request(which), after=after)
        call = self._connection.stream("FollowLog", request.SerializeToString())
        try:
            async for raw in call:
                followed = self._followed(raw)
                entry = followed.entry
                if entry is not None and which.services and entry.service_name not in which.services:
                    raise self._not_narrowed(which)
                yield followed
        except AioRpcError as error:
            raise reader_error_of(failure_of(self._connection.address, error)) from None
        except asyncio.CancelledError:
            if self._connection.closing:
                raise self._closed() from None
            raise
        finally:
            call.cancel()
        raise ReaderUnavailable(f"{self._connection.address}: the log service ended the stream")

    def _followed(self, raw: bytes) -> Followed:
        try:
            response = pb.FollowLogResponse.FromString(raw)
        except DecodeError:
            raise self._garbage() from None
        entry = from_message(response.log_entry) if response.HasField("log_entry") else None
        return Followed(response.sequence, entry)

    def _not_narrowed(self, which: LogFilter) -> QueryNotSupported:
        names = ", ".join(sorted(which.services))
        return QueryNotSupported(
            f"{self._connection.address}: this log service cannot be asked for several services at once: "
            f"name one of {names} with service_name"
        )

    def _check_open(self) -> None:
        if self._connection.closing:
            raise self._closed()

    def _closed(self) -> ReaderUnavailable:
        return ReaderUnavailable(f"{self._connection.address}: this sink is closed")

    def _garbage(self) -> ReaderUnavailable:
        return ReaderUnavailable(f"{self._connection.address}: the answer is not one of a log service")
