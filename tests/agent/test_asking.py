"""An agent with a child, asked by the other server over real TLS whether its node has stopped."""

import asyncio
import os
import signal
import socket
import ssl
from pathlib import Path

import msgspec
import pytest

from meetkeeper.agent.proving import PROOFS
from meetkeeper.agent.watch import Limits, Phase
from meetkeeper.agent.words import LINE_BYTES_MAX
from meetkeeper.ha.words import Witness
from meetkeeper.host.disk import RealDisk
from meetkeeper.store import promises
from tests.agent.pairs import QUICK, Scene, cards, until

SLOW_START = msgspec.structs.replace(QUICK, grace_s=60.0)
"""After a crash this agent leaves a minute for questions."""


def kill(scene: Scene) -> None:
    """SIGKILL to the node."""
    os.kill(scene.pid(), signal.SIGKILL)


async def test_a_node_that_runs_is_not_proven_to_have_stopped(tmp_path: Path) -> None:
    """The answer is "running", with the role its heartbeat says; nothing is promised."""
    scene = Scene(tmp_path)
    async with scene.running():
        asker = scene.asker()
        assert await asker.ask(3) is None
        assert asker.last == "its node runs as active"
        assert promises.read(RealDisk(scene.home)) == 0


async def test_a_frozen_node_is_not_proven_to_have_stopped(tmp_path: Path) -> None:
    """Until it has been killed it may go on at any instant."""
    scene = Scene(tmp_path, Limits(silence_s=60.0))
    async with scene.running():
        os.kill(scene.pid(), signal.SIGSTOP)
        for _ in range(3):
            assert await scene.asker().ask(3) is None
        os.kill(scene.pid(), signal.SIGCONT)


async def test_a_dead_node_is_proven_to_have_stopped(tmp_path: Path) -> None:
    """Within a second of its death the other server holds a sealed proof, and the promise is on the disk."""
    scene = Scene(tmp_path, SLOW_START)
    async with scene.running():
        kill(scene)
        await until(lambda: scene.agent.view.is_gone)
        async with asyncio.timeout(1.0):
            proof = await scene.asker().ask(3)
        assert proof is not None
        assert (proof.server, proof.epoch, proof.witness) == ("a", 3, Witness.AGENT)
        assert "code -9" in proof.why
        assert promises.read(RealDisk(scene.home)) == 4
        assert await scene.asker().ask(3) == proof


async def test_the_grace_is_long_enough_to_be_asked_in(tmp_path: Path) -> None:
    """With the seconds of a real agent, whoever asks at once when the connection breaks gets the proof."""
    scene = Scene(tmp_path, Limits())
    async with scene.running():
        asker = scene.asker()
        assert await asker.ask(1) is None
        kill(scene)
        await until(lambda: scene.agent.view.is_gone)
        assert await asker.ask(1) is not None
        await until(lambda: scene.agent.view.phase is Phase.RUNNING)


async def test_a_question_that_comes_a_moment_too_early_is_answered_all_the_same(tmp_path: Path) -> None:
    """The connections of a dying process break before its parent knows: the question waits for that moment."""
    scene = Scene(tmp_path, Limits())
    async with scene.running():
        asked = asyncio.create_task(scene.asker().ask(1))
        await asyncio.sleep(0.1)
        assert not asked.done()
        kill(scene)
        assert await asked is not None


async def test_a_proof_is_known_to_the_next_node_by_its_missing_token(tmp_path: Path) -> None:
    """After a proof the next node is not told that none was given, and an answer that was lost is given again."""
    scene = Scene(tmp_path, SLOW_START)
    async with scene.running():
        kill(scene)
        await until(lambda: scene.agent.view.is_gone)
        proof = await scene.asker().ask(3)
        scene.agent.view = msgspec.structs.replace(scene.agent.view, start_at_s=0.0)
        await until(lambda: scene.agent.view.phase is Phase.RUNNING)
        assert scene.tokens() == ["", ""]
        assert await scene.asker().ask(3) == proof
        assert await scene.asker().ask(4) is None


async def test_many_questions_and_a_start_are_one_decision(tmp_path: Path) -> None:
    """Questions while the next start is due: whoever is told "stopped" holds what no later node will break."""
    scene = Scene(tmp_path, msgspec.structs.replace(QUICK, grace_s=0.05, delays_s=(0.0,), crashes_max=1_000))
    told = 0
    async with scene.running():
        for epoch in range(1, 8):
            kill(scene)
            await until(lambda: scene.agent.view.is_gone)
            asker = scene.asker()
            proofs = await asyncio.gather(*(asker.ask(epoch) for _ in range(3)))
            promised = promises.read(RealDisk(scene.home))
            assert all(proof is None or proof.epoch < promised for proof in proofs)
            told += any(proofs)
            await until(lambda: scene.agent.view.phase is Phase.RUNNING)
            assert await asker.ask(epoch + 1) is None
    assert told, "no question ever came in time, so nothing was tried"


async def test_a_folder_somebody_else_has_is_no_proof(tmp_path: Path) -> None:
    """A node started by hand holds the lock: the agent says so and proves nothing."""
    scene = Scene(tmp_path, SLOW_START)
    async with scene.running():
        kill(scene)
        await until(lambda: scene.agent.view.is_gone)
        stranger = RealDisk(scene.home)
        assert stranger.lock("test:lock", "local/lock") is None
        asker = scene.asker()
        assert await asker.ask(3) is None
        assert "has this server's folder" in asker.last
        stranger.unlock("test:unlock", "local/lock")
        assert await asker.ask(3) is not None


async def test_a_stranger_is_refused(tmp_path: Path) -> None:
    """Another authority's certificate, another server's, and another name than the certificate's: no proof."""
    scene = Scene(tmp_path, SLOW_START)
    async with scene.running():
        kill(scene)
        await until(lambda: scene.agent.view.is_gone)
        foreign = scene.asker(cards(tmp_path / "foreign").of("b"))
        assert await foreign.ask(3) is None
        other = scene.asker(scene.cards.of("c"), me="c")
        assert await other.ask(3) is None
        assert "answers b alone" in other.last
        pretender = scene.asker(me="c")
        assert await pretender.ask(3) is None
        assert "c asks with b's certificate" in pretender.last
        assert not (scene.home / PROOFS).exists()
        assert await scene.asker().ask(3) is not None


async def test_an_answerer_with_another_name_is_not_believed(tmp_path: Path) -> None:
    """Whoever answers has to be the peer by its certificate."""
    scene = Scene(tmp_path, SLOW_START)
    async with scene.running():
        kill(scene)
        await until(lambda: scene.agent.view.is_gone)
        asker = scene.asker()
        asker._peer = "z"
        assert await asker.ask(3) is None
        assert "not for z" in asker.last


@pytest.mark.parametrize(
    "said", [b"hello\n", b"{}\n", b'{"ask":"stop-proof","epoch":-1,"from":"b"}\n', b"x" * 200_000]
)
async def test_nonsense_is_refused(tmp_path: Path, said: bytes) -> None:
    """By the right peer too; the agent goes on listening."""
    scene = Scene(tmp_path)
    async with scene.running():
        files = scene.cards.of("b")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(files.authority)
        context.load_cert_chain(files.certificate, files.key)
        host, port = scene.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context, limit=LINE_BYTES_MAX)
        writer.write(said)
        answer = b""
        try:
            async with asyncio.timeout(10):
                answer = await reader.readline()
        except OSError:
            pass  # hung up on, which is an answer as well
        assert answer == b"" or b'"refused"' in answer
        writer.close()
        asker = scene.asker()
        assert await asker.ask(1) is None
        assert "runs" in asker.last


async def test_nobody_there_is_no_proof(tmp_path: Path) -> None:
    """A host that is off, or an agent that is not: silence proves nothing."""
    scene = Scene(tmp_path)
    asker = scene.asker()
    assert await asker.ask(3) is None
    host, port = scene.address.split(":")
    with socket.create_server((host, int(port))):  # takes the connection, and says nothing
        async with asyncio.timeout(5):
            assert await asker.ask(3) is None
        assert asker.last == "no answer in time"


async def test_new_certificates_count_without_a_restart(tmp_path: Path) -> None:
    """An agent that had none listens once they are there, and never ended for it."""
    scene = Scene(tmp_path, SLOW_START)
    assert scene.settings.pair is not None
    key = scene.settings.pair.certificates.key
    kept = key.read_bytes()
    key.unlink()
    task = asyncio.create_task(scene.agent.run())
    await until(lambda: scene.agent.view.beaten)
    assert scene.agent.port() == 0
    key.write_bytes(kept)
    await until(lambda: scene.agent.port() > 0)
    scene.agent.stop()
    assert await asyncio.wait_for(task, 10) == 0
