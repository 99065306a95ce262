"""A way in on another platform is told everywhere a VMR would be, and an unanswered setting is a risk."""

import msgspec

from meetkeeper.api.risks import risks
from meetkeeper.api.views import meeting_view
from meetkeeper.core.configuration import LinksConfig, VmrConfig
from meetkeeper.core.invitation import Kind, of_meeting
from meetkeeper.core.words import Foreign, Step, Uid
from meetkeeper.engine.status import EngineStatus, MailStatus
from meetkeeper.mail.templates import Templates
from tests.core.keeper_kit import Keeper, configured, shown

ZOOM = "https://acme.zoom.us/j/98765432101"
DIAL = "98765432101@zoomcrc.com"
STATUS = EngineStatus("active", "a", "1", 1, 1, 0.0, (), (), MailStatus(True, "", 0, 0, 0))


def test_the_api_tells_link_dial_string_and_rule() -> None:
    """A meeting with a link shows it instead of a VMR, with the rule that found it."""
    keeper = Keeper()
    keeper.show(shown("one", location=ZOOM))
    meeting = keeper.meeting(keeper.state.meetings_of(Uid("one"))[0].id)
    view = meeting_view(meeting, Step.SCHEDULED, None, keeper.state.settings().cluster)
    assert view.vmr is None
    assert msgspec.to_builtins(view.foreign) == {
        "platform": "zoom",
        "url": ZOOM,
        "dial": DIAL,
        "rule": "zoom",
        "source": "location",
    }


def test_a_mail_about_such_a_meeting_names_its_way_in() -> None:
    """Where we mail, text and HTML have link and dial string; what stands in a link is escaped."""
    keeper = Keeper()
    keeper.show(shown("one", location=f"{ZOOM}?a=1&b=2"))
    meeting = keeper.meeting(keeper.state.meetings_of(Uid("one"))[0].id)
    mail = Templates().render(of_meeting(keeper.state.settings(), meeting, Kind.NEW))
    assert ZOOM in mail.text
    assert DIAL in mail.text
    assert f'href="{ZOOM}?a=1&amp;b=2"' in mail.html
    dial_only = msgspec.structs.replace(
        meeting, foreign=Foreign(platform="sip", url="", rule="sip", source="body", dial="a@b.example")
    )
    assert "a@b.example" in Templates().render(of_meeting(keeper.state.settings(), dial_only, Kind.NEW)).text


def test_a_setting_without_what_it_needs_is_a_risk() -> None:
    """An empty list of internal domains is told where a rule needs it, and nowhere else."""
    asked = configured(vmr=VmrConfig(organizers="internal"))
    for config, told in ((asked, True), (configured(), False)):
        found = risks(Keeper(config).state, STATUS, 0.0)
        assert any(risk.kind == "settings" for risk in found) is told
    answered = msgspec.structs.replace(asked, links=LinksConfig(internal_domains=("example.org",)))
    assert not any(risk.kind == "settings" for risk in risks(Keeper(answered).state, STATUS, 0.0))
