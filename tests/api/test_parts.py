"""The small parts: limits, cursors, nearest names, addresses behind proxies, masks."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.api.asgi import address_of
from meetkeeper.api.limits import KEYS_MAX, Attempts
from meetkeeper.api.masking import MASK, differences, masked, unmasked
from meetkeeper.api.problems import Invalid
from meetkeeper.api.queries import cursor_of, place_of
from meetkeeper.api.times import WrongTime, bound_s, day_span_s, instant_s, zone
from meetkeeper.api.validation import nearest


def test_a_bucket_lets_a_burst_pass_and_then_the_rate() -> None:
    """Ten tries at once, then one every six seconds; the wait told is the wait needed."""
    tries = Attempts()
    assert [tries.take("a", 10, 100.0) for _ in range(10)] == [None] * 10
    wait_s = tries.take("a", 10, 100.0)
    assert wait_s is not None
    assert wait_s == pytest.approx(6.0)
    assert tries.take("a", 10, 100.0 + wait_s + 0.01) is None
    assert tries.take("b", 10, 100.0) is None
    tries.forgive("a")
    assert [tries.take("a", 10, 110.0) for _ in range(10)] == [None] * 10


def test_buckets_are_bounded() -> None:
    """However many strangers try, memory stays bounded."""
    tries = Attempts()
    for number in range(KEYS_MAX + 100):
        tries.take(number, 1, 0.0)
    assert len(tries._left) == KEYS_MAX


@given(
    st.tuples(st.integers(0, 1 << 40), st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=1, max_size=16))
)
def test_a_cursor_comes_back_as_the_place_it_was(place: tuple[int, str]) -> None:
    """Sealing and opening a cursor is the identity."""
    assert place_of(cursor_of(place)) == place


@given(st.text(max_size=60))
def test_any_text_for_a_cursor_is_a_place_or_refused(text: str) -> None:
    """A foreign cursor never causes more than a refusal."""
    with suppress(Invalid):
        assert place_of(text) is not None


def test_the_nearest_names_come_first() -> None:
    """A slip of the finger finds the room that was meant."""
    assert nearest("osl-3", ["oslo-3", "bergen", "oslo-4"])[0] == "oslo-3"
    assert nearest("OSLO-3", ["oslo-3"]) == ("oslo-3",)
    assert nearest("zzz", ["oslo-3"]) == ()


def test_a_forwarded_address_counts_behind_trusted_proxies_alone() -> None:
    """A stranger can't choose the address his tries are counted under."""
    scope = {"client": ("192.0.2.7", 1), "headers": [(b"x-forwarded-for", b"198.51.100.1")]}
    assert address_of(scope, ("127.0.0.1",)) == "192.0.2.7"
    scope["client"] = ("127.0.0.1", 1)
    assert address_of(scope, ("127.0.0.1",)) == "198.51.100.1"
    scope["headers"] = [(b"x-forwarded-for", b"6.6.6.6, 198.51.100.1, 127.0.0.1")]
    assert address_of(scope, ("127.0.0.1",)) == "198.51.100.1"
    assert address_of({"headers": []}, ()) == ""


def test_masks_hide_and_keep() -> None:
    """Every secret is masked wherever it stands, and kept when the mask comes back; names are matched, not places."""
    body = json.dumps(
        {
            "cluster": {"secret": "s" * 32},
            "bridges": [
                {"id": "a", "admin_secret": {"value": "x"}},
                {"id": "b", "admin_secret": {"env": "B"}},
            ],
        }
    ).encode()
    shown = json.loads(masked(body))
    assert shown["cluster"]["secret"] == MASK
    assert shown["bridges"][0]["admin_secret"]["value"] == MASK
    assert shown["bridges"][1]["admin_secret"]["env"] == "B"
    shown["bridges"].reverse()
    back = json.loads(unmasked(json.dumps(shown).encode(), body))
    assert back["bridges"][1]["admin_secret"]["value"] == "x"
    assert back["cluster"]["secret"] == "s" * 32


def test_differences_tell_that_a_secret_changes_but_not_to_what() -> None:
    """A changed secret is named as such and not shown."""
    old, new = b'{"cluster":{"secret":"one"}}', b'{"cluster":{"secret":"two"}}'
    assert differences(old, new) == ["  a secret changes"]
    assert differences(old, old) == []


@pytest.mark.parametrize(
    ("text", "zone_name", "seconds"),
    [
        ("2027-03-28T01:59:59", "Europe/Oslo", 1_806_195_599),
        ("2027-03-28T03:00", "Europe/Oslo", 1_806_195_600),
        ("2027-10-31T02:30", "Europe/Oslo", 1_824_942_600),
        ("20270301T0930Z", "UTC", 1_803_893_400),
    ],
)
def test_wall_times_around_clock_changes(text: str, zone_name: str, seconds: int) -> None:
    """The hour that comes twice means the first; the one that is skipped is refused."""
    assert instant_s(text, zone(zone_name)) == seconds
    with pytest.raises(WrongTime, match="does not exist"):
        instant_s("2027-03-28T02:30", zone("Europe/Oslo"))


def test_days_have_the_hours_they_have() -> None:
    """Midnight to midnight is 23 hours in spring and 25 in autumn."""
    spring = day_span_s(1_806_195_600, zone("Europe/Oslo"))
    autumn = day_span_s(1_824_942_600, zone("Europe/Oslo"))
    assert (spring[1] - spring[0]) // 3_600 == 23
    assert (autumn[1] - autumn[0]) // 3_600 == 25


def test_ends_of_spans_may_be_dates() -> None:
    """A date is its midnight; an offset whose plus became a space is understood."""
    assert bound_s("2027-03-01", zone("Europe/Oslo")) == bound_s("2027-02-28T23:00:00 00:00", zone("UTC"))
