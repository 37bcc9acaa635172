"""The broker's URL: which are taken, and how they are shown, for their passwords are secret.

redis-py and kombu read a URL each in its own way. What :func:`check_broker` returns both read alike: only
what they have in common is taken, and user and password are written so that no character of theirs has a
meaning.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from services.errors import BadInput, one_line, reason_of

SHAPE = "redis://USER:PASSWORD@host:6379/0"
ENCODE = "in a password write / as %2F, # as %23, ? as %3F, @ as %40, [ as %5B and % as %25"

_PORT = 6379
_DATABASE = re.compile(r"/?|/[0-9]{1,9}")
_HOST = re.compile(r"[\w.-]+")
# What may be shown of a URL that cannot be used: its scheme, and what can only be a host behind the last @.
_SCHEMES = re.compile(r"(?:rediss?|unix|sentinel|amqps?|https?|sqs)://", re.IGNORECASE)
_TAIL = re.compile(r"@(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[0-9]*)?")

_CHOICES = {"ssl_cert_reqs": ("none", "optional", "required"), "ssl_check_hostname": ("true", "false")}
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


def check_broker(url: str) -> str:
    """The URL in the form that every part of datamask takes.

    :raises BadInput: if it is not ``redis://user:password@host:port/database``, or ``rediss://`` with what
        TLS needs as its query; the line holds nothing of the password.
    """
    url = url.strip()
    try:
        parts = _split(url)
    except ValueError as error:
        encode = f"; {ENCODE}" if "@" in url else ""
        raise BadInput(f"broker {redacted(url)}: {error}; expected {SHAPE}{encode}") from None
    port = _PORT if parts.port is None else parts.port
    query = _checked_query(url, parts)
    return f"{parts.scheme}://{_login(parts)}{_host(parts)}:{port}/{int(parts.path[1:] or 0)}{query}"


def redacted(url: str) -> str:
    """The URL for messages: nothing that stands before its last @, and no query."""
    url = url.strip()
    try:
        parts = _split(url)
    except ValueError:
        scheme = _SCHEMES.match(url)
        tail = _TAIL.fullmatch(url, url.rfind("@")) if "@" in url and "?" not in url else None
        return f"{scheme[0] if scheme else ''}***{tail[0] if tail else ''}"
    user = "***@" if "@" in parts.netloc else ""
    return f"{parts.scheme}://{user}{parts.netloc.rpartition('@')[2]}{parts.path}"


def password_of(url: str) -> str:
    """The password of a URL that :func:`check_broker` returned, "" where it has none."""
    return unquote(urlsplit(url).password or "")


def scrubbed(text: object, url: str) -> str:
    """A server's or a library's words on one line, without the password: some repeat what they were sent.

    :param url: as :func:`check_broker` returned it.
    """
    words, password = str(text), password_of(url)
    for form in (password, quote(password, safe="")):
        words = words.replace(form, "***") if form else words
    return one_line(words).rstrip(".")


def _split(url: str) -> SplitResult:
    """The parts of a URL that can be read in one way only. :raises ValueError: saying why it cannot."""
    if not url.lower().startswith(("redis://", "rediss://")):
        raise ValueError("it does not begin with redis:// or rediss://")
    if not url.isprintable():
        raise ValueError("it holds a line end or a control character")
    try:
        parts = urlsplit(url)
        unquote(parts.netloc, errors="strict")
    except ValueError:  # half an IPv6 address, a letter that could be taken for a / or @, no UTF-8
        raise ValueError("its user, password and host cannot be told apart") from None
    if "#" in url or "@" in parts.path + parts.query:
        raise ValueError("its user, password and host cannot be told apart")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("its port is no number from 1 to 65535")
    _host(parts)
    if _DATABASE.fullmatch(parts.path) is None:
        raise ValueError("its database is no number")
    return parts


def _host(parts: SplitResult) -> str:
    """The host as it stands in a URL. :raises ValueError: if it is neither a name nor an address."""
    name = parts.hostname or ""
    try:
        if ":" in name:
            return f"[{ipaddress.IPv6Address(name)}]"
        name.encode("idna")  # as the look-up will
    except ValueError:
        name = ""
    if _HOST.fullmatch(name) is None:
        raise ValueError("its host is neither a name nor an address")
    return name


def _login(parts: SplitResult) -> str:
    user, password = (quote(unquote(part or ""), safe="") for part in (parts.username, parts.password))
    return f"{user}:{password}@" if user or password else ""


def _checked_query(url: str, parts: SplitResult) -> str:
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    place = f"broker {redacted(url)}"
    known = (*_CHOICES, *_FILES)
    if parts.query and (parts.scheme != "rediss" or not all(key in known for key in given)):
        raise BadInput(f"{place}: after a ? may only stand what rediss:// needs: {', '.join(known)}")
    for key, choices in _CHOICES.items():
        if given.get(key, choices[0]) not in choices:
            raise BadInput(f"{place}: {key}: expected {' or '.join(choices)}")
    for key in _FILES:
        if key in given:
            _check_file(place, key, given[key])
    if parts.scheme == "redis":
        return ""
    # Said outright, for without it kombu would check no certificate.
    return f"?{urlencode({'ssl_cert_reqs': 'required', **given}, quote_via=quote)}"


def _check_file(place: str, key: str, path: str) -> None:
    try:
        with open(path, "rb"):
            pass
        if key == "ssl_ca_certs":
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (OSError, ValueError) as error:
        raise BadInput(f"{place}: {key} = {path!r}: {reason_of(error)}; expected a PEM file") from None
