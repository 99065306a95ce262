"""Sealed proofs: believed from the server itself, unchanged and in time, and from nobody else."""

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from meetkeeper.core.errors import TheirMistake
from meetkeeper.ha.words import Mode, Position, Proof, Record, Witness
from meetkeeper.replication.authority import Issued
from meetkeeper.replication.seals import Sealer, verify
from tests.replication.lines import AUTHORITY, NOW, STRANGERS, Papers

Key = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
PROOF = Proof(
    "oslo",
    7,
    Witness.AGENT,
    Position(7, 99, "c" * 32),
    Record("one", 7, "oslo", ("bergen", "oslo"), Mode.SYNC, "oslo", "founded", 1.1, "n"),
    "the process has ended",
    1764000000.123456,
)


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    """The files of the server that seals."""
    return Papers(tmp_path / "oslo", "oslo")


def sealed(papers: Papers, proof: Proof = PROOF) -> Proof:
    """The proof with this server's seal."""
    return Sealer(papers.key, papers.certificate).seal(proof)


def code_of(proof: Proof, papers: Papers, name: str = "oslo", now: datetime.datetime = NOW) -> str:
    """Why it is refused."""
    with pytest.raises(TheirMistake) as wrong:
        verify(proof, papers.authority, name, now)
    return wrong.value.code


def test_a_server_is_believed_about_itself(papers: Papers) -> None:
    """A proof sealed by the server it is about is good for everybody who has the authority's file."""
    once = sealed(papers)
    verify(once, papers.authority, "oslo", NOW)
    verify(sealed(papers, once), papers.authority, "oslo", NOW)
    assert replace(once, seal="") == PROOF


@pytest.mark.parametrize(
    "changed",
    [
        {"server": "bergen"},
        {"epoch": 8},
        {"witness": Witness.ITSELF},
        {"position": None},
        {"position": Position(7, 98, "c" * 32)},
        {"record": None},
        {"why": "another reason"},
        {"at_s": 0.0},
        {"accept_loss": True},
    ],
    ids=str,
)
def test_no_word_can_be_changed(papers: Papers, changed: dict[str, object]) -> None:
    """A proof is refused as soon as any field says something else than what was sealed."""
    assert code_of(replace(sealed(papers), **changed), papers) in ("seal.signature", "seal.server")


def test_others_can_not_speak_for_it(papers: Papers, tmp_path: Path) -> None:
    """Another server of the pair, another authority, and nobody at all are told apart, and refused."""
    assert code_of(sealed(Papers(tmp_path / "b", "bergen")), papers) == "seal.server"
    assert code_of(sealed(Papers(tmp_path / "s", "oslo", STRANGERS)), papers) == "seal.certificate"
    assert code_of(sealed(papers), papers, name="bergen") == "seal.server"
    about_another = sealed(papers, replace(PROOF, server="bergen"))
    assert code_of(about_another, papers, name="oslo") == "seal.server"
    assert code_of(about_another, papers, name="bergen") == "seal.server"
    assert code_of(PROOF, papers) == "seal.missing"


def test_an_expired_certificate_proves_nothing(papers: Papers) -> None:
    """The signer's certificate has to be good at the moment the proof is looked at."""
    proof = sealed(papers)
    verify(proof, papers.authority, "oslo", NOW + datetime.timedelta(days=29))
    for days in (31, -2):
        assert code_of(proof, papers, now=NOW + datetime.timedelta(days=days)) == "seal.certificate"


def test_a_renewed_certificate_and_a_second_authority_count_at_once(papers: Papers) -> None:
    """The files are read every time; an authority file with the old and the new one believes both."""
    before = sealed(papers)
    sealer = Sealer(papers.key, papers.certificate)
    papers.renew("oslo", STRANGERS)
    papers.authority.write_bytes(STRANGERS.certificate + AUTHORITY.certificate)
    verify(before, papers.authority, "oslo", NOW)
    verify(sealer.seal(PROOF), papers.authority, "oslo", NOW)


# The library reads a certificate with an odd number, and warns: what follows refuses it all the same.
@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_other_seal_is_refused(papers: Papers, data: st.DataObject) -> None:
    """No text but the seal itself is taken: one changed character or any text ends in `TheirMistake`."""
    good = sealed(papers).seal
    at = data.draw(st.integers(0, 10_000)) % len(good)
    changed = good[:at] + data.draw(st.characters(codec="utf-8")) + good[at + 1 :]
    for seal in {changed, data.draw(st.text()), good + ".", good + good} - {good}:
        assert code_of(replace(PROOF, seal=seal), papers).startswith("seal.")


@pytest.mark.parametrize("kind", ["rsa", "ed25519", "p384"])
def test_keys_of_other_authorities_seal_as_well(papers: Papers, kind: str) -> None:
    """A company's own certificates with RSA, Ed25519 or other curves seal and verify."""
    kinds: dict[str, Callable[[], Key]] = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    }
    made = signed_by_hand(kinds[kind](), AUTHORITY)
    papers.key.write_bytes(made.key)
    papers.certificate.write_bytes(made.certificate)
    verify(sealed(papers), papers.authority, "oslo", NOW)
    assert code_of(replace(sealed(papers), epoch=1), papers) == "seal.signature"


def test_files_that_can_not_sign_are_named(papers: Papers, tmp_path: Path) -> None:
    """A missing key, a key of another certificate and a broken file end in a sentence that names the files."""
    other = Papers(tmp_path / "other", "oslo")
    (tmp_path / "empty").write_bytes(b"")
    for key, certificate in (
        (tmp_path / "none", papers.certificate),
        (other.key, papers.certificate),
        (papers.key, tmp_path / "empty"),
    ):
        with pytest.raises(TheirMistake) as wrong:
            Sealer(key, certificate).seal(PROOF)
        assert wrong.value.code == "seal.key"
        assert str(key) in wrong.value.message
    papers.authority.write_bytes(b"")
    assert code_of(sealed(papers), papers) == "seal.authority"


def signed_by_hand(key: Key, authority: Issued) -> Issued:
    """A plain certificate for oslo with a key of another kind."""
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    signer = serialization.load_pem_private_key(authority.key, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "oslo")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("oslo")]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    return Issued(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        certificate.public_bytes(serialization.Encoding.PEM),
    )
