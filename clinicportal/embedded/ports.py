"""The ports of this machine that the portal wants, asked for before anything is started."""

import errno
import os
import socket
from dataclasses import dataclass

_IN_USE = {errno.EADDRINUSE, errno.EACCES}


class PortProblem(Exception):
    """A port can't be had; the text names the variable that chooses another."""


@dataclass(frozen=True)
class Ports:
    """PORT is the portal's. TENANT_PORT and the two after it are the local tenant's: http, https, mail."""

    portal: int
    tenant: int

    @classmethod
    def from_environment(cls) -> "Ports":
        return cls(_number("PORT", 8000, 0), _number("TENANT_PORT", 8400, 2))

    def check(self, *, with_tenant: bool) -> None:
        """Raise PortProblem for the first port that is taken."""
        if with_tenant and self.tenant <= self.portal <= self.tenant + 2:
            raise PortProblem(f"PORT {self.portal} is one of the local tenant's: set PORT or TENANT_PORT apart.")
        _check_free(self.portal, f"set PORT to another one, for example: make run PORT={self.portal + 80}")
        for port in range(self.tenant, self.tenant + 3) if with_tenant else ():
            _check_free(
                port,
                "set TENANT_PORT to the first of three free ones in a row, for example: "
                f"make run TENANT_PORT={self.tenant + 80}",
            )


def _number(name: str, default: int, following: int) -> int:
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 65535 - following):
        raise PortProblem(f"{name} is {text!r}: set it to a number from 1 to {65535 - following}.")
    return int(text)


def _check_free(port: int, advice: str) -> None:
    # A browser asks both loopback addresses for *.localhost, so a stranger on either would answer in our place.
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except OSError as error:
            if error.errno in _IN_USE:
                raise PortProblem(f"Port {port} is in use by another program: {advice}") from None
