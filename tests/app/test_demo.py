"""The demonstration on a machine without a bridge: the join page leads somewhere all the same."""

from pathlib import Path

from meetkeeper.app.demo.parts import Pace, Parts
from meetkeeper.core.configuration import LinkBridge
from meetkeeper.web.files import FILES


def test_without_janus_the_join_page_leads_to_a_page_that_says_so(tmp_path: Path) -> None:
    """The address that the demonstration's link bridge opens is a file of ours."""
    parts = Parts(tmp_path, port=0, pace=Pace(), janus=False)
    parts.lay_homes()
    bridge = parts.config.bridges[0]
    assert isinstance(bridge, LinkBridge)
    name = bridge.url.partition("/static/")[2].partition("?")[0]
    assert name in FILES
