"""Transactions of nftables commands: text in, all or nothing.

One rule: whoever calls writes nft's own language. libnftables does it in the process (0.2 ms); where the library is
missing, the `nft` command does the same for ten times the cost, and `engine()` says so.
"""

import ctypes
import ctypes.util
import json
from typing import Any

from pileus.services.network.drivers.base import HostNetworkError
from pileus.services.network.drivers.linux.namespaces import run

_OUTPUT_JSON = 1 << 4


def _load() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libnftables.so.1")
    except OSError:
        return None
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    library.nft_ctx_free.argtypes = [ctypes.c_void_p]
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
        getattr(library, name).restype = ctypes.c_char_p
    library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    return library


_library = _load()


def engine() -> str:
    return "libnftables" if _library else "the nft command (libnftables.so.1 is missing: install libnftables1)"


class NftError(HostNetworkError):
    """nft refused a transaction; nothing of it was applied."""


class Nft:
    """A context in the namespace of the thread that makes it. Use it in that thread only."""

    def __init__(self) -> None:
        self._context: int | None = None
        if _library is not None:
            self._context = _library.nft_ctx_new(0)
            _library.nft_ctx_buffer_output(self._context)
            _library.nft_ctx_buffer_error(self._context)

    def __enter__(self) -> "Nft":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        if _library is not None and self._context is not None:
            _library.nft_ctx_free(self._context)
            self._context = None

    def apply(self, commands: str) -> None:
        self._run(commands, 0)

    def list(self, what: str) -> list[dict[str, Any]]:
        """Return the objects of a listing (`what` is nft's, such as `table inet x`); nothing there is no error."""
        try:
            answer = self._run(f"list {what}", _OUTPUT_JSON)
        except NftError as error:
            if "No such file or directory" in str(error):
                return []
            raise
        return json.loads(answer)["nftables"] if answer else []

    def _run(self, commands: str, flags: int) -> str:
        if _library is None or self._context is None:
            return self._fork(commands, flags)
        _library.nft_ctx_output_set_flags(self._context, flags)
        status = _library.nft_run_cmd_from_buffer(self._context, commands.encode())
        output = _library.nft_ctx_get_output_buffer(self._context) or b""
        complaint = _library.nft_ctx_get_error_buffer(self._context) or b""
        if status != 0:
            raise NftError(_explain(complaint.decode(errors="replace")))
        return output.decode()

    def _fork(self, commands: str, flags: int) -> str:
        command = ("nft", "-j", "-f", "-") if flags else ("nft", "-f", "-")
        try:
            return run(*command, input=commands)
        except HostNetworkError as error:
            raise NftError(_explain(str(error))) from error


def _explain(complaint: str) -> str:
    lines = [line for line in complaint.strip().splitlines() if line.strip(" ^~")]
    return f"nftables refused the transaction: {' | '.join(lines[:4]) or 'no reason given'}"
