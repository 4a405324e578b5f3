from __future__ import annotations

import pytest

from pareto.errors import ParetoError
from pareto.store.address import driver_url, scrubbed, shown


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("postgresql://ann:s3cret@db.example:5432/lab", "postgresql://ann@db.example:5432/lab"),
        ("postgres://ann:s3cret@db/lab", "postgresql://ann@db/lab"),
        ("postgresql+psycopg://ann:s3cret@[::1]:5432/lab", "postgresql://ann@[::1]:5432/lab"),
        ("postgresql://db/lab?password=s3cret&sslmode=require", "postgresql://db/lab?sslmode=require"),
        ("postgresql:///lab?host=/var/run&user=ann", "postgresql:///lab?host=/var/run&user=ann"),
    ],
)
def test_a_password_is_never_shown(url, wanted):
    assert shown(url) == wanted
    assert driver_url(url).startswith("postgresql://")
    assert driver_url(url).partition("://")[2] == url.partition("://")[2]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:s3cret/9@db/lab",
        "postgresql://ann:s3cret@9@db/lab",
        "postgresql://ann:s3cret#9@db/lab",
        "postgresql://ann:s3cret?@db/lab",
        "postgresql://ann:s3cret@db",
        "mysql://ann:s3cret@db/lab",
        "sqlite:///s3cret.db",
    ],
)
def test_an_odd_address_is_refused_without_repeating_it(url):
    with pytest.raises(ParetoError, match="percent-encoded") as told:
        shown(url)
    assert "s3cret" not in str(told.value)


def test_a_library_message_is_one_line_without_the_password():
    message = "bad\n  password s3cret/9 for ann"
    assert scrubbed(message, "postgresql://ann:s3cret%2F9@db/lab") == "bad password *** for ann"
