"""Which URLs no proxy can reach."""

from ipaddress import ip_address

import httpx2


def is_loopback(url: str) -> bool:
    host = httpx2.URL(url).host
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
