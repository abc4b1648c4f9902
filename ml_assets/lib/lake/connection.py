"""One way to the server for every call: time limit, count, retries, translated errors.

Reads are asked again while the server is busy or silent. Writes are sent again only when the server said that it did
nothing (429): after any other failure a write may have landed, and only the caller can ask.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import lakefs
from lakefs_sdk.client import LakeFSClient
from pydantic import SecretStr
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_random_exponential

from ml_assets.lib.core.errors import LakeBusy, LakeError, LakeUnavailable
from ml_assets.lib.lake.errors import translated

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

T = TypeVar("T")

ATTEMPTS: Final = 5
CONNECT_TIMEOUT_S: Final = 10.0
PAGE: Final = 1000
"""Rows of a page: lakeFS's limit."""
REGION: Final = "us-east-1"
"""lakeFS does not look at it; without one, an S3 client looks every bucket up at AWS."""
_NOT_LANDED: Final = (LakeBusy,)
_NOT_ANSWERED: Final = (LakeBusy, LakeUnavailable)


class Connection:
    """A server and the credentials for it. The secret shows in no ``repr`` and no error.

    Args:
        endpoint: Root of the server, ``http://host:port``.
        access_key_id: Names the user.
        secret_access_key: Proves it.
        timeout_s: Limit for one request, in seconds; nothing is sent again when this much has passed in total.

    Attributes:
        calls: Requests sent, by name of the operation; repeated ones count each time.
    """

    def __init__(self, endpoint: str, access_key_id: str, secret_access_key: SecretStr, *, timeout_s: float) -> None:
        self.endpoint = endpoint.rstrip("/")
        self.access_key_id = access_key_id
        self.secret_access_key = secret_access_key
        self.timeout_s = timeout_s
        self.calls: Counter[str] = Counter()
        self._counting = threading.Lock()
        self.wrapper = lakefs.Client(
            host=self.endpoint, username=access_key_id, password=secret_access_key.get_secret_value()
        )
        self.sdk: LakeFSClient = self.wrapper.sdk_client
        # urllib3 would repeat requests behind our back, writes too.
        self.sdk.objects_api.api_client.rest_client.pool_manager.connection_pool_kw.update(retries=False)

    def __repr__(self) -> str:
        return f"Connection({self.endpoint!r})"

    @cached_property
    def gateway(self) -> S3FileSystem:
        """The S3 side of the server: paths are ``<repository>/<ref>/<path>``."""
        from pyarrow.fs import S3FileSystem

        return S3FileSystem(
            endpoint_override=self.endpoint,
            access_key=self.access_key_id,
            secret_key=self.secret_access_key.get_secret_value(),
            region=REGION,
            connect_timeout=min(CONNECT_TIMEOUT_S, self.timeout_s),
            request_timeout=self.timeout_s,
            allow_delayed_open=True,  # small files in one request instead of three
        )

    def ask(self, where: str, call: Callable[..., T], *args: object, **kwargs: object) -> T:
        """Send a read, and again while the server is busy or silent.

        Args:
            where: The call, with ref and path, for errors.
            call: A method of the official clients.
            *args: Its arguments.
            **kwargs: Its arguments.

        Raises:
            LakeError: As `translated` says.
        """
        return self._send(_NOT_ANSWERED, where, call, *args, **kwargs)

    def change(self, where: str, call: Callable[..., T], *args: object, **kwargs: object) -> T:
        """Send a write, and again only if the server said that it did not land.

        Args:
            where: The call, with ref and path, for errors.
            call: A method of the official clients.
            *args: Its arguments.
            **kwargs: Its arguments.

        Raises:
            LakeError: As `translated` says; `LakeUnavailable` means that it may have landed.
        """
        return self._send(_NOT_LANDED, where, call, *args, **kwargs)

    def rows(
        self,
        where: str,
        call: Callable[..., Any],
        *args: str,
        limit: int | None = None,
        page: int = PAGE,
        **kwargs: Any,
    ) -> Iterator[Any]:
        """Rows of a listing, asked for page by page as they are taken.

        Args:
            where: The call, with ref and path, for errors.
            call: A method of the official clients that answers in pages.
            *args: Its arguments.
            limit: At most so many rows; ``None`` means all.
            page: Rows to ask for at a time.
            **kwargs: Its arguments.
        """
        after, left = "", limit
        while left is None or left > 0:
            answer = self.ask(
                where, call, *args, after=after, amount=page if left is None else min(page, left), **kwargs
            )
            yield from answer.results
            if not answer.pagination.has_more:
                return
            after = answer.pagination.next_offset
            left = None if left is None else left - len(answer.results)

    def _send(
        self, again: tuple[type[LakeError], ...], where: str, call: Callable[..., T], *args: object, **kwargs: object
    ) -> T:
        retrying = Retrying(
            retry=retry_if_exception_type(again),
            stop=stop_after_attempt(ATTEMPTS) | stop_after_delay(self.timeout_s),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            reraise=True,
        )
        return cast("T", retrying(self._once, where, call, *args, **kwargs))

    def _once(self, where: str, call: Callable[..., T], *args: object, **kwargs: object) -> T:
        with self._counting:
            self.calls[call.__name__] += 1
        timeout = (min(CONNECT_TIMEOUT_S, self.timeout_s), self.timeout_s)
        with translated(where, self.endpoint):
            return call(*args, _request_timeout=timeout, **kwargs)
