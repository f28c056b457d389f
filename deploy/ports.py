"""Whether a port can be listened on."""

import errno
import socket

from common.errors import ConfigurationError


def is_port_free(host: str, port: int) -> bool:
    """Whether a server could listen on `host` and `port` now.

    Raises:
        ConfigurationError: the host is no address of this machine, or the port needs root.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ConfigurationError(f"FACEPIPE_HOST={host} cannot be resolved: {error}.") from error
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(1)
        except PermissionError as error:
            raise ConfigurationError(f"Port {port} needs root; choose one above 1023.") from error
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise ConfigurationError(f"FACEPIPE_HOST={host} is no address of this machine.") from error
            return False
    return True


def require_free_port(host: str, port: int, variable: str) -> None:
    """Refuse a port that is taken.

    Raises:
        ConfigurationError: names the variable to set.
    """
    if not is_port_free(host, port):
        raise ConfigurationError(f"Port {port} on {host} is taken. Set {variable} to a free one, or stop what uses it.")
