"""The first words: who is refused, whose fault that is, and that nothing counts before."""

import pytest
from msgspec.structs import replace

from meetkeeper.ha.conversation import Conversation, Ended, Heard, Linked, Stage, accept, is_new
from meetkeeper.ha.words import ORIGIN, PROTOCOL, Echo, Hello, Message, Mode, Position, Record, Refusal, Role

OSLO = Hello(
    protocol=PROTOCOL,
    cluster="one",
    name="oslo",
    instance="i-oslo",
    to="bergen",
    role=Role.ACTIVE,
    epoch=3,
    position=Position(3, 10, "a" * 32),
)
BERGEN = replace(OSLO, name="bergen", instance="i-bergen", to="oslo", role=Role.PASSIVE)
NEW = replace(BERGEN, instance="i-new", cluster="", epoch=0, position=ORIGIN)


def test_two_of_one_pair_accept_each_other() -> None:
    """Servers that name each other and belong to one pair may talk, known or not."""
    assert accept(OSLO, BERGEN) is None
    assert accept(BERGEN, OSLO, known="i-oslo") is None


@pytest.mark.parametrize("apart", [-1, 1])
def test_neighbouring_protocols_understand_each_other(apart: int) -> None:
    """A pair is upgraded one server after the other: one protocol apart is fine both ways, two are not."""
    assert accept(OSLO, replace(BERGEN, protocol=PROTOCOL + apart)) is None
    refusal = accept(OSLO, replace(BERGEN, protocol=PROTOCOL + 2 * apart))
    assert refusal is not None
    assert refusal.code == "peer.protocol"
    assert f"Upgrade {'oslo' if apart > 0 else 'bergen'}" in refusal.text


@pytest.mark.parametrize(
    ("theirs", "code", "fault"),
    [
        (OSLO, "peer.itself", "oslo"),
        (replace(BERGEN, name="oslo"), "peer.own_name", "oslo"),
        (replace(BERGEN, name="voss"), "peer.other_name", "voss"),
        (replace(BERGEN, to="voss"), "peer.not_me", "node.json of bergen"),
        (replace(BERGEN, instance="i-oslo"), "peer.copied_home", "bergen"),
        (replace(BERGEN, instance=""), "peer.copied_home", "bergen"),
        (replace(BERGEN, cluster="two"), "peer.other_cluster", "pair two"),
    ],
)
def test_a_refusal_says_whose_fault_and_what_to_do(theirs: Hello, code: str, fault: str) -> None:
    """Every wrong hello has its own code, and its sentence names the server and the file or command that mends it."""
    refusal = accept(OSLO, theirs)
    assert refusal is not None
    assert refusal.code == code
    assert fault in refusal.text
    assert "node.json" in refusal.text or "meetkeeper init" in refusal.text


def test_who_joins_has_no_pair_yet() -> None:
    """A server without a pair may talk to one that has founded it, and two without any may not."""
    assert accept(OSLO, replace(BERGEN, cluster="")) is None
    assert accept(replace(BERGEN, cluster=""), OSLO) is None
    refusal = accept(replace(OSLO, cluster=""), replace(BERGEN, cluster=""))
    assert refusal is not None
    assert refusal.code == "peer.no_cluster"


def test_another_home_under_a_known_name_is_refused_unless_it_is_new() -> None:
    """A second home with the peer's name is refused while it holds anything; one set up anew takes its place."""
    assert accept(OSLO, BERGEN, known="i-bergen") is None
    refusal = accept(OSLO, BERGEN, known="i-before")
    assert refusal is not None
    assert refusal.code == "peer.other_instance"
    assert "i-before" in refusal.text
    assert "i-bergen" in refusal.text
    assert accept(OSLO, NEW, known="i-before") is None
    record = Record("one", 1, "voss", ("voss",), Mode.SYNC, "voss", "founded", 0.0)
    for not_new in (
        replace(NEW, epoch=1),
        replace(NEW, position=Position(0, 1, "b" * 32)),
        replace(NEW, record=record),
    ):
        assert not is_new(not_new)
        assert accept(OSLO, not_new, known="i-before") is not None


def test_foreign_names_do_not_spoil_logs() -> None:
    """However long and odd a foreign name is, the refusal is one short line; so is one that was said to us."""
    for theirs in (replace(BERGEN, name="x\n" * 20_000), replace(BERGEN, instance="\x1b[31m" * 9_000)):
        refusal = accept(OSLO, theirs, known="i-before")
        assert refusal is not None
        assert refusal.text.isprintable()
        assert len(refusal.text) <= 1000
    told = Conversation(lambda: OSLO, str, dialled=True).hear(Refusal("a\nb", "c\n" * 9_000))
    assert isinstance(told, Ended)
    assert told.refusal.code == "a?b"
    assert len(told.refusal.text) == 1000


def talk(one: Hello, other: Hello, *, known: str = "") -> tuple[Conversation, Conversation, list[object]]:
    """One dials the other, and both say what is asked of them until nobody has anything to say."""
    ends = (
        Conversation(lambda: one, str, dialled=True),
        Conversation(lambda: other, lambda: known, dialled=False),
    )
    turns: list[object] = []
    assert ends[1].opening() is None
    said: Message | None = ends[0].opening()
    listener = 1
    while said is not None:
        turn = ends[listener].hear(said)
        turns.append(turn)
        assert not isinstance(turn, Heard)
        said, listener = turn.answer, 1 - listener
    return *ends, turns


def test_the_one_that_dialled_speaks_first() -> None:
    """The dialled one answers with its hello once it has accepted; then both are linked, after two words."""
    one, other, turns = talk(OSLO, BERGEN)
    assert turns == [Linked(OSLO, BERGEN), Linked(BERGEN, None)]
    assert one.stage is other.stage is Stage.LINKED
    assert one.hear(Echo(1.0, 1)) == Heard(Echo(1.0, 1))


def test_who_is_refused_was_never_linked() -> None:
    """The dialled one that refuses says so instead of its hello: the caller is not linked for a moment."""
    one, other, turns = talk(OSLO, BERGEN, known="i-before")
    assert len(turns) == 2
    assert all(isinstance(turn, Ended) and turn.refusal.code == "peer.other_instance" for turn in turns)
    assert one.stage is other.stage is Stage.ENDED


def test_the_caller_may_refuse_too() -> None:
    """A caller that does not accept the answer says so; both ends have ended."""
    one, other, turns = talk(OSLO, replace(BERGEN, cluster="two", to="oslo"), known="")
    assert one.stage is other.stage is Stage.ENDED
    assert isinstance(turns[-1], Ended)


@pytest.mark.parametrize("dialled", [True, False])
def test_nothing_counts_before_the_hello_and_none_after_the_end(dialled: bool) -> None:
    """Anything but a hello or a refusal ends a conversation at its start; so does a second hello; then silence."""
    early = Conversation(lambda: OSLO, str, dialled=dialled)
    turn = early.hear(Echo(1.0, 1))
    assert isinstance(turn, Ended)
    assert turn.answer is not None
    assert turn.answer.code == "peer.no_hello"
    late = early.hear(BERGEN)
    assert isinstance(late, Ended)
    assert late.answer is None

    twice = Conversation(lambda: OSLO, str, dialled=dialled)
    twice.opening()
    assert isinstance(twice.hear(BERGEN), Linked)
    again = twice.hear(BERGEN)
    assert isinstance(again, Ended)
    assert again.refusal.code == "peer.second_hello"

    told = Conversation(lambda: OSLO, str, dialled=dialled)
    assert told.hear(Refusal("x", "y")) == Ended(Refusal("x", "y"), None)


def test_the_hello_is_made_when_it_is_said() -> None:
    """Each side says how things stand at that moment, once for each conversation."""
    asked: list[int] = []

    def hello() -> Hello:
        asked.append(1)
        return BERGEN

    dialled_one = Conversation(hello, str, dialled=False)
    assert not asked
    dialled_one.hear(OSLO)
    assert len(asked) == 1
