"""Names of Python packages: what is declared, what is imported, and which belongs to which."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

__all__ = ["declared_name", "imported_names", "is_standard", "normalised"]

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_VERSION = r"(?:===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9][A-Za-z0-9.*+!_-]*"
_REQUIREMENT = re.compile(
    rf"\s*({_NAME})\s*(?:\[\s*(?:{_NAME}\s*(?:,\s*{_NAME}\s*)*)?\])?"
    rf"\s*(?:\(?\s*{_VERSION}(?:\s*,\s*{_VERSION})*\s*\)?)?"
    r"\s*(?:;[ A-Za-z0-9_.,<>=!~()'\"-]+)?",
    re.ASCII,
)

_OF = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "Crypto": "pycryptodome",
    "cv2": "opencv-python opencv-python-headless opencv-contrib-python",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "fitz": "pymupdf",
    "git": "gitpython",
    "jwt": "pyjwt",
    "magic": "python-magic",
    "mpl_toolkits": "matplotlib",
    "mysql": "mysql-connector-python",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "pkg_resources": "setuptools",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2 psycopg2-binary",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "usb": "pyusb",
    "websocket": "websocket-client",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}
"""Modules whose package has another name."""

_OURS = frozenset(("__main__", "solution"))
"""What a candidate's own module is called when it runs."""


def normalised(name: str) -> str:
    """The one spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared_name(dependency: str) -> str | None:
    """The package that a requirement names, normalised.

    None when it is anything but a name with extras, versions and a marker: an
    address, a path, an option of the installer, several lines.
    """
    match = _REQUIREMENT.fullmatch(dependency)
    return normalised(match[1]) if match else None


def is_standard(module: str) -> bool:
    """Whether a top-level module comes with Python, or is the candidate itself."""
    return module in sys.stdlib_module_names or module in _OURS


def imported_names(top: str, modules: Iterable[str]) -> set[str]:
    """The packages that may provide a top-level module, of which ``modules`` were imported.

    For a namespace that packages share, such as ``google``, the longer names count too.
    """
    names = {normalised(top), *_OF.get(top, "").split()}
    names |= {normalised(name) for name in modules if name.startswith(f"{top}.")}
    return names
