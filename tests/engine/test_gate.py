"""The gate before calendars: so many at a time, the most urgent first, and nobody's place is lost."""

import asyncio

from meetkeeper.engine.gate import Gate, Vanguard
from tests.engine.desk import until


async def test_the_most_urgent_is_let_in_first() -> None:
    """Whoever waits is let in by order, then by arrival."""
    gate, inside = Gate(1), list[str]()
    hold = asyncio.Event()

    async def visit(name: str, order: float) -> None:
        async with gate.turn(order):
            inside.append(name)
            await hold.wait()

    visits = [
        asyncio.create_task(visit(*one))
        for one in (("first", 9.0), ("late", 5.0), ("soon", 1.0), ("also", 1.0))
    ]
    await until(lambda: inside == ["first"])
    hold.set()
    await asyncio.gather(*visits)
    assert inside == ["first", "soon", "also", "late"]


async def test_no_more_than_its_width_are_inside() -> None:
    """Also after some have left, some were cancelled while they waited and some while they were inside."""
    gate, inside, most = Gate(3), 0, 0

    async def visit() -> None:
        nonlocal inside, most
        async with gate.turn(0.0):
            inside += 1
            most = max(most, inside)
            try:
                await asyncio.sleep(0)
            finally:
                inside -= 1

    for _ in range(50):
        visits = [asyncio.create_task(visit()) for _ in range(12)]
        await asyncio.sleep(0)
        for one in visits[::3]:
            one.cancel()
        await asyncio.gather(*visits, return_exceptions=True)
    assert most == 3
    async with gate.turn(0.0), gate.turn(0.0), gate.turn(0.0):
        waits = asyncio.create_task(visit())
        await asyncio.sleep(0)
        assert not waits.done()
    await waits


async def test_a_place_given_to_somebody_who_has_left_goes_on() -> None:
    """A place handed over in the very moment of a cancellation is not lost."""
    gate = Gate(1)

    async def visit() -> None:
        async with gate.turn(0.0):
            pass

    async with gate.turn(0.0):
        unlucky = asyncio.create_task(visit())
        await asyncio.sleep(0)
    unlucky.cancel()
    await asyncio.gather(unlucky, return_exceptions=True)
    async with asyncio.timeout(10):
        await visit()


async def test_the_others_wait_until_nobody_is_ahead() -> None:
    """From the moment on at which the first lines up until the last has left, also by an error; then for nobody."""
    vanguard, done = Vanguard(), list[str]()
    holds = {name: asyncio.Event() for name in ("one", "two")}

    async def lead(name: str) -> None:
        with vanguard.ahead():
            await holds[name].wait()
            done.append(name)
            raise LookupError(name)

    async def follow() -> None:
        await vanguard.wait(60.0)
        done.append("the others")

    leaders = [asyncio.create_task(lead(name)) for name in holds]
    await asyncio.sleep(0)
    follower = asyncio.create_task(follow())
    for name, hold in holds.items():
        hold.set()
        await until(lambda name=name: name in done)  # type: ignore[misc] # mypy can't infer it
    await follower
    await asyncio.gather(*leaders, return_exceptions=True)
    assert done == ["one", "two", "the others"]
    await asyncio.wait_for(vanguard.wait(60.0), 1.0)


async def test_whoever_hangs_ahead_is_not_waited_for_for_good() -> None:
    """The wait has a bound."""
    vanguard = Vanguard()
    with vanguard.ahead():
        await asyncio.wait_for(vanguard.wait(0.01), 5.0)
